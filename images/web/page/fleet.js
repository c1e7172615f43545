// All airports: what is down first.

import { Slice, h, make, nextFrame, patch, place, placing, update } from "./dom.js";
import { STATES, WORDS, counted, matcher, sorted, text } from "./model.js";
import { ago, badge, icon, sideChip, zoneOf } from "./parts.js";
import { absolute, relative } from "./times.js";

const FIRST_ROWS = 30;
const MOVED_AT_ONCE = 150;
const ALWAYS_SHOWN = ["down", "connecting", "trouble", "up"];

const at = (id) => document.getElementById(id);
const rows = new Map();
let turn = 0;

/** Show the fleet. What takes long is done in slices, so that typing and scrolling go on. */
export function showFleet(view, context) {
  headline(view.airports, context);
  notices(view.hub);
  tiles(view.airports, context);
  return list(view.airports, context);
}

function headline(airports, { stale }) {
  const counts = counted(airports);
  const parts = STATES.filter((state) => counts[state] && !["up", "paused"].includes(state));
  const said = parts.map((state) => `${counts[state]} ${WORDS[state]}`).join(", ");
  const words = said || allWell(airports.length, counts);
  const worst = STATES.find((state) => counts[state]) ?? "unknown";
  patch(at("headline"),
    h("h1", { class: `is-${stale ? "unknown" : worst}` }, stale ? `Last known: ${words}` : capital(words)),
    said && h("p", {}, `of ${airports.length} ${airports.length === 1 ? "airport" : "airports"}, ${counts.up} up`));
}

function allWell(all, counts) {
  if (!all) return "no tunnel is declared";
  const up = all === 1 ? "the only airport is up" : `all ${all} airports are up`;
  return counts.paused ? `${counts.up} up, ${counts.paused} paused` : up;
}

function capital(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function notices({ problems }) {
  patch(at("notices"), problems.map((problem) =>
    h("p", { class: `notice ${problem.grave ? "grave" : ""}`, key: problem.text },
      icon(problem.grave ? "down" : "trouble"),
      h("span", {}, h("strong", {}, `Hub: ${problem.text}.`), " ", problem.more && h("span", { class: "more" }, problem.more), " ",
        h("a", { href: "#/hub" }, "See the hub")))));
}

function tiles(airports, { query, choose, stale }) {
  const counts = counted(airports);
  const shown = STATES.filter((state) => counts[state] || ALWAYS_SHOWN.includes(state) || query.states.includes(state));
  patch(at("tiles"), shown.map((state) =>
    h("button", {
      key: state, type: "button", class: `tile is-${state}${counts[state] ? "" : " none"}`,
      "aria-pressed": String(query.states.includes(state)),
      onclick: () => choose({ states: toggled(query.states, state) }),
    }, h("span", { class: "count" }, counts[state]), h("span", { class: "word" }, icon(state), stale ? `was ${WORDS[state]}` : WORDS[state]))));
}

function toggled(states, state) {
  return states.includes(state) ? states.filter((one) => one !== state) : [...states, state];
}

async function list(airports, context) {
  turn += 1;
  const mine = turn;
  const isOver = () => turn !== mine;
  const ordered = sorted(airports, context.query.sort);
  const matches = matcher(context.query);
  const wanted = ordered.filter(matches);
  found(wanted.length, ordered.length, context);
  const empty = !at("rows").firstElementChild;
  const slice = new Slice();
  for (const [index, one] of wanted.entries()) {
    row(one, context);
    if (index < FIRST_ROWS || slice.hasTime()) continue;
    if (empty) place(at("rows"), nodesOf(wanted.slice(0, index + 1)));
    await slice.pause();
    if (isOver()) return;
  }
  forget(airports);
  await arrange(wanted, isOver);
}

const nodesOf = (wanted) => wanted.map((one) => rows.get(one.name).node);

/** Only rows that are wanted are in the page. Many of them come in a few at a time. */
async function arrange(wanted, isOver) {
  const nodes = nodesOf(wanted);
  const staying = new Set(nodes);
  for (const node of [...at("rows").children]) if (!staying.has(node)) node.remove();
  let moved = 0;
  for (const _ of placing(at("rows"), nodes)) {
    moved += 1;
    if (moved % MOVED_AT_ONCE) continue;
    await nextFrame();
    if (isOver()) return;
  }
}

function forget(airports) {
  const known = new Set(airports.map((one) => one.name));
  for (const name of rows.keys()) if (!known.has(name)) rows.delete(name);
}

function found(shown, all, { query, choose }) {
  const filtered = query.states.length || query.side || query.search;
  const words = shown ? `${shown} of ${all} airports match` : "No airport matches";
  patch(at("found"), filtered && [
    words, " ",
    h("button", { type: "button", class: "link", onclick: () => choose({ states: [], side: "", search: "" }) }, "Show all"),
  ]);
}

/** Make or renew one row; one that looks the same is left alone. */
function row(one, context) {
  const looks = looksOf(one, context);
  const known = rows.get(one.name);
  if (known?.looks === looks) return;
  const description = describe(one, context);
  if (known) update(known.node, description);
  rows.set(one.name, { looks, node: known?.node ?? make(description) });
}

function looksOf(one, { stale, settings, now }) {
  const { raw } = one;
  return [
    stale, settings.zone, one.title, one.id, one.state, one.reason, one.side, one.since, one.zone, one.address,
    one.paused, raw.last_good, raw.removal_held, raw.key_rotation, one.flaws.length, relative(one.since, now),
  ].join("\n");
}

function describe(one, { stale, settings, now }) {
  const zone = zoneOf(one, settings);
  const href = `#/airport/${encodeURIComponent(one.name)}`;
  return h("li", { class: `row is-${one.state}`, key: one.name, onclick: follow },
    h("div", { class: "c-state" }, badge(one.state, { was: stale })),
    h("div", { class: "c-name" },
      h("a", { href, dir: "auto" }, one.title),
      h("span", { class: "id", dir: "auto" }, [one.id === one.title ? "" : one.id, one.address].filter(Boolean).join(" · "))),
    h("div", { class: "c-reason" }, h("span", { dir: "auto" }, one.reason || (one.state === "up" ? "as declared" : "")), tags(one)),
    h("div", { class: "c-side" }, one.side && [h("span", { class: "visually-hidden" }, "must act: "), sideChip(one.side)]),
    h("div", { class: "c-since" },
      h("span", { class: "visually-hidden" }, "since "), ago(one.since, zone, now),
      one.since > 0 && h("span", { class: "when" }, absolute(one.since, zone).slice(0, 16))));
}

/** A click anywhere on a row opens it, unless a text is being selected. */
function follow(event) {
  if (event.target.closest("a, button") || !getSelection().isCollapsed) return;
  event.currentTarget.querySelector("a").click();
}

function tags(one) {
  const { raw } = one;
  const found = [
    one.paused && one.state !== "paused" && "paused",
    one.flaws.length > 1 && `and ${one.flaws.length - 1} more`,
    raw.last_good === true && "last good declaration",
    raw.removal_held === true && "removal held",
    text(raw.key_rotation) && `key: ${raw.key_rotation}`,
  ];
  return found.filter(Boolean).map((tag) => h("span", { class: "tag" }, tag));
}

/** The link of one row, to give focus back to it. */
export function linkOf(name) {
  return rows.get(name)?.node.querySelector("a");
}

