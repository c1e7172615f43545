// A bar of time: how the tunnel was, as far as its transitions tell.

import { h } from "./dom.js";
import { own } from "./model.js";
import { duration } from "./times.js";

const WIDTH = 1000;
const HEIGHTS = { up: 24, connecting: 14, down: 6 };

/** Pieces of time, each with the status it began with: from transitions and now. */
export function pieces(transitions, now) {
  return transitions.map(({ at, to }, index) => ({
    status: to, at, end: Math.max(transitions[index + 1]?.at ?? now, at),
  }));
}

const lengthOf = (parts) => parts.reduce((sum, part) => sum + part.end - part.at, 0);

/** Which share of the time it was up, in words. */
export function share(parts) {
  const total = lengthOf(parts);
  if (!total) return "";
  const percent = (100 * lengthOf(parts.filter((part) => part.status === "up"))) / total;
  const rounded = percent === 100 ? "100" : Math.min(percent, 99.99).toFixed(percent > 99 ? 2 : 1);
  return `up ${rounded} % of the last ${duration(total)}`;
}

/** Draw it. Height tells the status as well as colour does. */
export function timeline(parts) {
  const start = parts[0]?.at ?? 0;
  const span = (parts.at(-1)?.end ?? 0) - start;
  if (span <= 0) return null;
  const bars = parts.map((part) => {
    const status = own(HEIGHTS, part.status) ? part.status : "down";
    const height = HEIGHTS[status];
    const width = Math.max(1.5, (WIDTH * (part.end - part.at)) / span);
    const x = Math.min((WIDTH * (part.at - start)) / span, WIDTH - width);
    return h("rect", { x: x.toFixed(1), y: 26 - height, width: width.toFixed(1), height, class: `bar-${status}` });
  });
  const attributes = { class: "timeline", viewBox: `0 0 ${WIDTH} 28`, preserveAspectRatio: "none", role: "img", "aria-label": `Timeline: ${share(parts)}` };
  return h("svg", attributes, bars, h("line", { x1: 0, y1: 27, x2: WIDTH, y2: 27, class: "base" }));
}
