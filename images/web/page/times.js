// Times in words. All times are unix seconds; 0 is never.

const formats = new Map();

/** Whether this browser knows the time zone. */
export function isZone(zone) {
  return Boolean(zone) && formatOf(zone) !== null;
}

export const myZone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

function formatOf(zone) {
  if (!formats.has(zone)) formats.set(zone, makeFormat(zone));
  return formats.get(zone);
}

function makeFormat(timeZone) {
  const two = "2-digit";
  try {
    return new Intl.DateTimeFormat("en-GB", {
      timeZone, hourCycle: "h23", year: "numeric", month: two, day: two, hour: two, minute: two, second: two,
      timeZoneName: "longOffset",
    });
  } catch {
    return null;
  }
}

/** 2026-11-22 14:03:22 UTC−08:00 */
export function absolute(unix, zone) {
  const part = {};
  const format = formatOf(isZone(zone) ? zone : myZone) ?? formatOf("UTC");
  for (const { type, value } of format.formatToParts(unix * 1000)) part[type] = value;
  const offset = part.timeZoneName.replace("GMT", "UTC").replace("-", "−");
  return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second} ${offset}`;
}

/** For machines: <time datetime>. */
export function iso(unix) {
  return new Date(unix * 1000).toISOString().replace(".000", "");
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

/** 2 d 3 h: the two largest units. */
export function duration(seconds) {
  let rest = Math.max(0, Math.floor(seconds));
  const first = UNITS.findIndex(([, size]) => rest >= size);
  if (first < 0) return "0 s";
  const words = [];
  for (const [unit, size] of UNITS.slice(first, first + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count) words.push(`${count} ${unit}`);
  }
  return words.join(" ");
}

/** 2 d ago, in 3 min: the largest unit only, so that it seldom changes. */
export function relative(unix, now) {
  const away = Math.round(Math.abs(now - unix));
  if (away < 5) return "just now";
  const [unit, size] = UNITS.find(([, s]) => away >= s);
  const words = `${Math.floor(away / size)} ${unit}`;
  return unix > now ? `in ${words}` : `${words} ago`;
}

/** 1.5 kB, as the command line writes it. */
export function bytes(count) {
  let value = count;
  for (const unit of ["B", "kB", "MB", "GB", "TB"]) {
    if (value < 1000 || unit === "TB") return unit === "B" ? `${value} B` : `${value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return "";
}
