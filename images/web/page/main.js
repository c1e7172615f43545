// Puts feed, views, settings and addresses together.

import { showDetail } from "./detail.js";
import { h, patch, setAttribute } from "./dom.js";
import { Feed } from "./feed.js";
import { linkOf, showFleet } from "./fleet.js";
import { showHub } from "./hub.js";
import { STATES, WORDS, read } from "./model.js";
import { icon } from "./parts.js";
import { absolute, duration, iso, myZone } from "./times.js";

const at = (id) => document.getElementById(id);
const root = document.documentElement;
const MOST_SAID = 3;

const settings = { zone: recall("zone") === "mine" ? "mine" : "airport", theme: recall("theme") ?? "system" };
const place = { view: "fleet", name: "", query: { states: [], side: "", search: "", sort: "worst" } };
let view = null;
let fleetScroll = 0;

const feed = new Feed(async (changed) => {
  if (changed && feed.document) renew(await read(feed.document));
  show();
});

function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Then it holds as long as the page is open.
  }
}

/** Take over a new document, and tell a listener what changed. */
function renew(next) {
  const before = new Map(view?.airports.map((one) => [one.name, one.state]) ?? []);
  const changes = next.airports.filter((one) => before.has(one.name) && before.get(one.name) !== one.state);
  view = next;
  if (!changes.length) return;
  const said = changes.slice(0, MOST_SAID).map((one) => `${one.title} is ${WORDS[one.state]}${one.reason ? `: ${one.reason}` : ""}.`);
  if (changes.length > MOST_SAID) said.push(`${changes.length - MOST_SAID} more airports changed.`);
  at("announcer").textContent = said.join(" ");
}

// What is shown

function show() {
  const doubt = feed.doubt;
  const stale = doubt !== null && view !== null;
  const now = feed.clock.now();
  root.toggleAttribute("data-stale", stale);
  showBanner(doubt, now);
  showFreshness(stale, now);
  at("nothing").hidden = view !== null || doubt !== null;
  for (const id of ["fleet", "detail", "hub"]) at(id).hidden = view === null || place.view !== id;
  if (!view) return;
  const context = { now: stale ? view.timestamp : now, stale, settings, query: place.query, choose, fleet: addressOfFleet() };
  if (place.view === "fleet") showFleet(view, context);
  if (place.view === "hub") showHub(at("hub"), view, context);
  const one = view.airports.find((airport) => airport.name === place.name);
  if (place.view === "detail") showDetail(at("detail"), one, place.name, context);
  showFrame(one, stale);
}

function showBanner(doubt, now) {
  patch(at("banner"), doubt && h("div", { class: "stale-banner" }, icon("trouble"),
    h("div", {},
      h("strong", {}, view ? "This is not how things are now." : "Nothing is known yet."),
      h("span", {}, ` ${doubt.text.charAt(0).toUpperCase()}${doubt.text.slice(1)}.`),
      view && h("span", {}, " What is shown is of ", h("time", { datetime: iso(view.timestamp) }, absolute(view.timestamp, myZone)), "."))));
  setAttribute(at("banner"), "data-kind", doubt?.kind ?? null);
}

function showFreshness(stale, now) {
  if (!view) return;
  const age = Math.max(0, Math.floor(now - view.timestamp));
  patch(at("freshness"), h("span", { class: `dot ${stale ? "old" : ""}`, "aria-hidden": "true" }),
    h("time", { datetime: iso(view.timestamp), title: absolute(view.timestamp, myZone) }, `as of ${duration(age)} ago`));
}

function showFrame(one, stale) {
  const problems = view.hub.problems.length;
  patch(at("to-hub"), "Hub", problems > 0 && [h("span", { class: "count", "aria-hidden": "true" }, problems), h("span", { class: "visually-hidden" }, ` (${problems} to look at)`)]);
  setAttribute(at("to-fleet"), "aria-current", place.view === "fleet" ? "page" : null);
  setAttribute(at("to-hub"), "aria-current", place.view === "hub" ? "page" : null);
  const down = view.airports.filter((airport) => airport.state === "down").length;
  const what = place.view === "detail" ? (one?.title ?? place.name) : place.view === "hub" ? "Hub" : down ? `${down} down` : "Airports";
  document.title = `${stale ? "(not current) " : ""}${what} · VPN tunnels`;
  const wrong = Math.round(Math.abs(feed.clock.behindMs) / 1000);
  patch(at("footer"), h("p", {}, "From ", h("a", { href: "vpn-status.json" }, "vpn-status.json"), ", written by reconciler ", String(view.hub.reconciler.version ?? ""),
    ". ", settings.zone === "mine" ? `Times are those of ${myZone}.` : `Times are those of each airport, or of ${myZone} where its time zone is not known.`,
    wrong > 60 && ` Your clock is ${duration(wrong)} ${feed.clock.behindMs > 0 ? "behind" : "ahead"}; times are corrected for that.`));
}

// Where we are: #/ with the filters, #/airport/<connection>, #/hub

function readPlace() {
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const parts = path.split("/");
  if (parts[1] === "airport" && parts[2]) return { view: "detail", name: decode(parts[2]) };
  if (parts[1] === "hub") return { view: "hub", name: "" };
  const found = new URLSearchParams(query ?? "");
  const states = (found.get("state") ?? "").split(",").filter((state) => STATES.includes(state));
  return {
    view: "fleet", name: "",
    query: { states, side: found.get("side") ?? "", search: found.get("q") ?? "", sort: found.get("sort") ?? "worst" },
  };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Change the filters; they are in the address, so they can be linked to, and survive "back". */
function choose(change) {
  Object.assign(place.query, change);
  history.replaceState(null, "", addressOfFleet());
  showTools();
  show();
}

function addressOfFleet() {
  const { states, side, search, sort } = place.query;
  const query = new URLSearchParams();
  if (states.length) query.set("state", states.join(","));
  if (side) query.set("side", side);
  if (search) query.set("q", search);
  if (sort !== "worst") query.set("sort", sort);
  return `#/${query.size ? `?${query}` : ""}`;
}

function showTools() {
  const { side, search, sort } = place.query;
  if (at("search").value !== search) at("search").value = search;
  at("side").value = side;
  at("sort").value = sort;
  if (at("sort").selectedIndex < 0) at("sort").value = "worst";
}

function arrive() {
  if (location.hash && !location.hash.startsWith("#/")) return;
  const from = { ...place };
  Object.assign(place, readPlace());
  if (from.view === "fleet") fleetScroll = scrolled;
  showTools();
  show();
  if (place.view === from.view && place.name === from.name) return;
  if (place.view === "fleet") returnTo(from.name);
  else {
    scrollTo(0, 0);
    at(place.view).querySelector("h1")?.focus({ preventScroll: true });
  }
}

/** Back in the list: where it was, with the row in focus that was left. */
function returnTo(name) {
  scrollTo(0, fleetScroll);
  (linkOf(name) ?? at("content")).focus({ preventScroll: true });
}

// What can be operated

let scrolled = 0;
addEventListener("scroll", () => {
  if (place.view === "fleet") scrolled = scrollY;
}, { passive: true });
addEventListener("hashchange", arrive);
at("search").addEventListener("input", () => choose({ search: at("search").value }));
at("side").addEventListener("change", () => choose({ side: at("side").value }));
at("sort").addEventListener("change", () => choose({ sort: at("sort").value }));
at("skip").addEventListener("click", () => at("content").focus());
addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey || place.view !== "fleet") return;
  event.preventDefault();
  at("search").focus();
});

at("zone").value = settings.zone;
at("zone").addEventListener("change", () => {
  settings.zone = at("zone").value;
  remember("zone", settings.zone);
  show();
});
at("theme").value = ["light", "dark"].includes(settings.theme) ? settings.theme : "system";
at("theme").addEventListener("change", () => {
  settings.theme = at("theme").value;
  remember("theme", settings.theme);
  if (settings.theme === "system") delete root.dataset.theme;
  else root.dataset.theme = settings.theme;
});

history.scrollRestoration = "manual";
Object.assign(place, readPlace());
showTools();
feed.start();
// Ages grow, and doubt may come, without any news.
setInterval(() => {
  if (!document.hidden) tick();
}, 1000);

let shownDoubt = "";
let shownAt = 0;

function tick() {
  const doubt = feed.doubt?.kind ?? "";
  if (doubt !== shownDoubt || Date.now() - shownAt > 20000) {
    shownDoubt = doubt;
    shownAt = Date.now();
    show();
  } else showFreshness(doubt !== "" && view !== null, feed.clock.now());
}
