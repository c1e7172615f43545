// From the status document to what is shown. Every key may be missing or odd: the file may be of another release.

import { Slice, breathe } from "./dom.js";
import { isObject } from "./feed.js";
import { FIXES, FIXES_OF_FLAWS } from "./fixes.js";

export const STATES = ["down", "unknown", "connecting", "trouble", "paused", "up"];
export const WORDS = {
  down: "down", unknown: "not known", connecting: "connecting", trouble: "degraded", paused: "paused", up: "up",
};

const text = (value) => (typeof value === "string" ? value : "");
const number = (value) => (Number.isFinite(value) ? value : 0);
const list = (value) => (Array.isArray(value) ? value : []);
const texts = (value) => list(value).filter((one) => typeof one === "string");
const objects = (value) => list(value).filter(isObject);
const object = (value) => (isObject(value) ? value : {});

/** What a table holds under this key, which may be anybody's word, such as "constructor". */
export function own(table, key) {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

/** Text without case and accents, for the search. */
export function plain(value) {
  if (/^[\x00-\x7f]*$/.test(value)) return value.toLowerCase();
  return value.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

/** Everything that is shown, from one document. */
export async function read(document) {
  await breathe();
  const airports = [];
  const slice = new Slice();
  for (const [name, connection] of Object.entries(document.connections)) {
    if (isObject(connection)) airports.push(airport(name, connection));
    if (!slice.hasTime()) await slice.pause();
  }
  await breathe();
  return { timestamp: number(document.timestamp), airports, hub: hub(document) };
}

function airport(name, raw) {
  const id = text(raw.airport_id) || name;
  const title = text(raw.airport_name) || id;
  const made = {
    name, id, title, raw,
    state: stateOf(raw),
    paused: raw.paused === true,
    since: number(raw.since),
    zone: text(raw.time_zone),
    flaws: objects(raw.degraded_reasons).map((flaw) => ({ code: text(flaw.code), text: text(flaw.text), side: text(flaw.who_must_act) })),
    code: text(raw.reason_code),
    address: address(raw),
  };
  made.side = text(raw.who_must_act) || made.flaws[0]?.side || "";
  made.reason = reasonOf(made);
  made.found = plain([title, id, name, made.address, text(raw.last_remote_address), ...texts(raw.declared_subnets)].join("\n"));
  return made;
}

/** One word for all that the eye must tell apart. */
function stateOf(raw) {
  if (raw.observed === false) return "unknown";
  if (raw.status === "up") return raw.degraded === true || raw.health_check === "fail" ? "trouble" : "up";
  if (raw.paused === true) return "paused";
  return raw.status === "connecting" || raw.status === "down" ? raw.status : "unknown";
}

function address(raw) {
  const host = text(raw.remote_address);
  const port = number(raw.remote_port);
  if (!host) return "";
  return `${host.includes(":") ? `[${host}]` : host}${port ? `:${port}` : ""}`;
}

function reasonOf({ state, raw, flaws }) {
  if (text(raw.reason)) return raw.reason;
  if (raw.health_check === "fail" && state === "trouble") return "what is sent through the tunnel is not answered";
  return flaws[0]?.text ?? "";
}

/** What to do about it, by the tables of the documentation. */
export function fixOf(airport) {
  return own(FIXES, airport.code) ?? "";
}

export function fixOfFlaw(code) {
  return own(FIXES_OF_FLAWS, code) ?? "";
}

const ORDERS = {
  worst: (a, b) => rank(a) - rank(b) || b.since - a.since,
  name: () => 0,
  since: (a, b) => b.since - a.since,
  side: (a, b) => SIDES.indexOf(b.side) - SIDES.indexOf(a.side) || rank(a) - rank(b),
  traffic: (a, b) => traffic(b) - traffic(a),
};
const SIDES = ["", "nobody", "network", "site", "hub"];
const rank = (one) => STATES.indexOf(one.state);
const traffic = ({ raw }) => number(raw.received_bytes) + number(raw.sent_bytes);
const byTitle = new Intl.Collator("en", { numeric: true });

export function sorted(airports, by) {
  const order = own(ORDERS, by) ?? ORDERS.worst;
  return [...airports].sort((a, b) => order(a, b) || byTitle.compare(a.title, b.title) || (a.name < b.name ? -1 : 1));
}

/** Whether it is to be shown: `states` and `side` chosen, and all words of the search found. */
export function matcher({ states, side, search }) {
  const words = plain(search).split(/\s+/).filter(Boolean);
  return (one) =>
    (!states.length || states.includes(one.state)) &&
    (!side || one.side === side) &&
    words.every((word) => one.found.includes(word));
}

export function counted(airports) {
  const counts = Object.fromEntries(STATES.map((state) => [state, 0]));
  for (const one of airports) counts[one.state] += 1;
  return counts;
}

function hub(document) {
  const daemon = object(document.daemon);
  const container = isObject(document.container) ? document.container : null;
  const filter = isObject(document.packet_filter) ? document.packet_filter : null;
  const configuration = object(document.configuration);
  const reconciler = object(document.reconciler);
  const made = {
    daemon, container, filter, configuration, reconciler,
    strangers: objects(document.strangers),
    faults: objects(configuration.faults),
    held: texts(configuration.removals_held),
    errors: texts(reconciler.errors),
  };
  return { ...made, problems: [...problems(made)] };
}

/** What is wrong with the hub itself, the worst first: `text`, `fix`, and whether it is grave. */
function* problems({ daemon, container, filter, configuration, held, faults, errors }) {
  if (daemon.reachable === false) {
    yield { grave: true, text: "charon can't be asked, so how the tunnels are is not known", more: text(daemon.error) };
  }
  if (text(container?.problem)) {
    yield { grave: true, text: `container ${text(container.name)}: ${container.problem}`, more: text(container.held) };
  }
  if (filter && filter.state === "off") {
    yield { grave: false, text: "the packet filter is off: sites may open whatever the hub accepts or forwards", more: "" };
  } else if (filter && filter.as_declared === false) {
    yield { grave: true, text: "the packet filter is not in force as declared", more: text(filter.error) || text(filter.state) };
  }
  const wrong = faults.filter((fault) => fault.severity !== "warning").length;
  if (configuration.valid === false) {
    const what = wrong === 1 ? "1 error" : `${wrong} errors`;
    yield { grave: false, text: `airports.json has ${what}; what was declared before stays in force`, more: "" };
  }
  if (held.length) {
    const what = held.length === 1 ? "1 removal is" : `${held.length} removals are`;
    yield { grave: false, text: `${what} held until confirmed`, more: held.join(", ") };
  }
  if (errors.length) yield { grave: false, text: "the reconciler reports an error", more: errors[0] };
}

export { list, number, object, objects, text, texts };
