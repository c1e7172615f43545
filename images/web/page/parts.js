// Small pieces that several views use.

import { h } from "./dom.js";
import { WORDS, own } from "./model.js";
import { absolute, iso, isZone, myZone, relative } from "./times.js";

const SHAPES = {
  up: "M3.5 8.5l3 3 6-7",
  down: "M4 4l8 8M12 4l-8 8",
  connecting: "M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3",
  trouble: "M8 3v6M8 12.2v.3",
  unknown: "M5.5 6a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.8-1.1 1.8M8 12.8v.2",
  paused: "M6 4v8M10 4v8",
};

/** A shape for each state, as colour alone tells nothing to some. */
export function icon(state) {
  return h("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, h("path", { d: own(SHAPES, state) ?? SHAPES.unknown }));
}

export function badge(state, { was = false, word = WORDS[state] } = {}) {
  return h("span", { class: `badge is-${own(WORDS, state) ? state : "unknown"}` }, icon(state), h("span", {}, was ? `was ${word}` : word));
}

/** The zone in which times of this airport are shown. */
export function zoneOf(airport, settings) {
  return settings.zone === "airport" && isZone(airport?.zone) ? airport.zone : myZone;
}

export function ago(unix, zone, now) {
  if (!unix) return h("span", {}, "never");
  return h("time", { datetime: iso(unix), title: absolute(unix, zone) }, relative(unix, now));
}

export function agoAndWhen(unix, zone, now) {
  if (!unix) return h("span", {}, "never");
  return [
    h("time", { datetime: iso(unix) }, relative(unix, now)), " ",
    h("span", { class: "when" }, absolute(unix, zone)),
  ];
}

/** Text with `code` in it, as the documentation writes it. */
export function withCode(text) {
  return text.split(/`([^`]*)`/).map((part, at) => (at % 2 ? h("code", {}, part) : part.replaceAll("*", "")));
}

/** Names and what they are; those of which there is nothing are left out. */
export function facts(rows) {
  const there = rows.filter(([, value]) => !isEmpty(value));
  return h("dl", { class: "facts" }, there.map(([name, value]) =>
    h("div", { key: name }, h("dt", {}, name), h("dd", {}, value))));
}

function isEmpty(value) {
  return value === "" || value === null || value === undefined || value === false || (Array.isArray(value) && !value.length);
}

export function section(title, ...children) {
  return h("section", { key: title, class: "card" }, h("h2", {}, title), children);
}

export const SIDES = {
  site: "the site", hub: "the hub", network: "the network", nobody: "nobody",
};

export function sideChip(side) {
  return side && h("span", { class: "chip" }, own(SIDES, side) ?? side);
}
