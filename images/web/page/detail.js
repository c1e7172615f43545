// One airport, with all that is known of it.

import { h, patch } from "./dom.js";
import { WORDS, fixOf, fixOfFlaw, number, object, objects, own, text, texts } from "./model.js";
import { agoAndWhen, badge, facts, section, sideChip, withCode, zoneOf } from "./parts.js";
import { pieces, share, timeline } from "./timeline.js";
import { bytes, duration, isZone } from "./times.js";

const ROTATION = {
  unknown: "not known: no tunnel tells which key the site uses",
  old: "the site still uses the old key; enter the new one on its router",
  switching: "the site is changing to the new key",
  new: "the site uses the new key; psk may now be replaced by it",
};
const HEALTH = { pass: "packets come back", fail: "what is sent is not answered", unknown: "not known: nothing is sent" };

/** Show one airport; null: there is none of that name. */
export function showDetail(root, one, name, context) {
  if (!one) return patch(root, back(context), h("h1", { tabindex: "-1", class: "title" }, "Not found"),
    h("p", {}, "The status file has no tunnel named ", h("code", {}, name), "."));
  const given = { ...context, zone: zoneOf(one, context.settings) };
  const past = pastOf(one, given);
  return patch(root, back(context), head(one, given), matters(one, given), bar(past, given),
    h("div", { class: "cards" },
      tunnel(one, given), failures(one, given), addresses(one), cameras(one, given), traffic(one, given),
      probe(one, given), attempts(one, given), keys(one, given)),
    history(past, given));
}

function back({ fleet }) {
  return h("p", { class: "back" }, h("a", { href: fleet }, "← All airports"));
}

function head(one, { stale, zone, now }) {
  const id = one.id === one.title ? "" : one.id;
  return h("header", { class: "title" },
    h("h1", { tabindex: "-1", dir: "auto" }, one.title),
    h("p", { class: "sub" }, [id, one.name].filter(Boolean).join(" · "), one.zone && ` · ${one.zone}${isZone(one.zone) ? "" : " (not known to this browser)"}`),
    h("p", { class: "state" }, badge(one.state, { was: stale }), one.since > 0 && h("span", {}, "since ", agoAndWhen(one.since, zone, now))));
}

/** What is the matter, who must act, and what to do. */
function matters(one, given) {
  const { raw } = one;
  return h("div", { class: "matters" },
    (one.reason || one.side) && one.state !== "trouble" && h("div", { class: `matter is-${one.state}` },
      h("p", { class: "what", dir: "auto" }, one.reason),
      one.side && h("p", {}, "Must act: ", sideChip(one.side)),
      fixOf(one) && h("p", { class: "fix" }, h("strong", {}, "What to do: "), withCode(fixOf(one)))),
    one.flaws.map((flaw) => h("div", { class: "matter is-trouble", key: flaw.code },
      h("p", { class: "what", dir: "auto" }, flaw.text),
      flaw.side && h("p", {}, "Must act: ", sideChip(flaw.side)),
      fixOfFlaw(flaw.code) && h("p", { class: "fix" }, h("strong", {}, "What to do: "), withCode(fixOfFlaw(flaw.code))))),
    one.state !== "down" && raw.health_check === "fail" && h("div", { class: "matter is-trouble", key: "health" },
      h("p", { class: "what" }, "What is sent through the tunnel is not answered."),
      h("p", { class: "fix" }, "A camera that is switched off looks the same.")),
    notes(one, given).map((note) => h("p", { class: "note" }, note)));
}

function notes(one, { zone, now }) {
  const { raw } = one;
  const until = number(raw.paused_until);
  return [
    one.paused && ["Left alone by order ", until ? ["until ", agoAndWhen(until, zone, now)] : "until it is resumed", "."],
    raw.last_good === true && ["The declaration in ", h("code", {}, "airports.json"), " is faulty; an earlier one is in force. ", h("a", { href: "#/hub" }, "See the faults")],
    raw.removal_held === true && ["The file no longer has this airport; its removal waits for ", h("code", {}, "reconciler apply --allow-removals"), "."],
    raw.observed === false && ["charon could not be asked, so it is not known how this tunnel is; it may well work. ", h("a", { href: "#/hub" }, "See the hub")],
  ].filter(Boolean);
}

function tunnel(one, { zone, now, stale }) {
  const { raw } = one;
  const time = (unix) => number(unix) > 0 && agoAndWhen(number(unix), zone, now);
  const up = raw.status === "up" && !stale;
  return section("Tunnel", facts([
    ["Up for", up && duration(now - number(raw.last_connected))],
    ["Answers", raw.status === "up" && (own(HEALTH, raw.health_check) ?? text(raw.health_check))],
    ["Last came up", time(raw.last_connected) || "never"],
    ["Last went down", time(raw.last_disconnected) || "never"],
    ["Key exchange", [text(raw.ike_state), number(raw.ike_established_at) > 0 && [", made ", time(raw.ike_established_at)]].filter(Boolean)],
    ["IKE algorithms", text(raw.ike_algorithms)],
    ["Data tunnel", [text(raw.child_state), number(raw.child_installed_at) > 0 && [", made ", time(raw.child_installed_at)]].filter(Boolean)],
    ["ESP algorithms", text(raw.child_algorithms)],
    ["Keys end", time(raw.child_expires_at)],
    ["Keys renewed", "rekeys" in raw && times(raw.rekeys)],
    ["Came up", "establishments" in raw && times(raw.establishments)],
  ]));
}

function times(count) {
  return number(count) === 1 ? "1 time" : `${number(count)} times`;
}

function addresses(one) {
  const { raw } = one;
  const nat = number(raw.remote_port) === 4500 ? "in UDP, port 4500 (passes NAT)" : "";
  const all = (subnets) => texts(subnets).map((subnet) => h("code", { key: subnet }, subnet));
  return section("Addresses", facts([
    ["Site's address", one.address && h("code", {}, one.address)],
    ["Last seen at", text(raw.last_remote_address) !== text(raw.remote_address) && text(raw.last_remote_address) && h("code", {}, raw.last_remote_address)],
    ["Packets", one.address && (nat || `port ${number(raw.remote_port)}, no NAT on the way`)],
    ["Declared for the site", all(raw.declared_subnets)],
    ["Negotiated for the site", all(raw.remote_subnets)],
    ["Negotiated for the hub", all(raw.local_subnets)],
  ]));
}

function traffic(one, { zone, now }) {
  const { raw } = one;
  if (!text(raw.child_state) && !number(raw.last_received_at)) return null;
  const count = (octets, packets) => [bytes(number(octets)), packets in raw && `, ${number(raw[packets]).toLocaleString("en")} packets`].filter(Boolean);
  return section("Traffic", facts([
    ["Received", count(raw.received_bytes, "received_packets")],
    ["Sent", count(raw.sent_bytes, "sent_packets")],
    ["Last received", "last_received_at" in raw && agoAndWhen(number(raw.last_received_at), zone, now)],
  ]), h("p", { class: "hint" }, "Of the data tunnels of this moment: they begin anew when keys are renewed."));
}

function failures(one, { zone, now }) {
  const last = one.raw.last_failure ? object(one.raw.last_failure) : null;
  const counts = Object.entries(object(one.raw.failures)).sort((a, b) => number(b[1]) - number(a[1]));
  if (!last && !counts.length && !text(one.raw.last_error)) return null;
  return section("Failures",
    last && facts([
      ["Last failure", [h("code", {}, text(last.code)), " ", agoAndWhen(number(last.at), zone, now)]],
      ["charon's words", text(last.words) && h("q", { dir: "auto" }, last.words)],
      ["From", text(last.remote_address) && h("code", {}, last.remote_address)],
      ["Calls itself", text(last.claimed_id) && h("code", {}, last.claimed_id)],
      ["Calls the hub", text(last.asked_id) && h("code", {}, last.asked_id)],
      ["Certain", last.certain === false && "no: only the address says that it was this site"],
    ]),
    !last?.words && text(one.raw.last_error) && facts([["Last error", h("q", { dir: "auto" }, one.raw.last_error)]]),
    counts.length > 0 && [h("h3", {}, "So far, by cause"), h("ul", { class: "counts" }, counts.map(([code, count]) =>
      h("li", { key: code }, h("code", {}, code), ` ${times(count)}`)))]);
}

function cameras(one, { zone, now }) {
  const found = objects(one.raw.cameras);
  if (!found.length) return null;
  return section("Cameras", h("ul", { class: "cameras" }, found.map((camera, at) =>
    h("li", { key: `${at} ${text(camera.name)}` },
      h("p", { class: "camera" }, h("strong", { dir: "auto" }, text(camera.name) || `Camera ${at + 1}`), " ",
        text(camera.health_check) && badge(own({ pass: "up", fail: "down" }, camera.health_check) ?? "unknown", { word: own({ pass: "answers", fail: "no answer" }, camera.health_check) ?? "not known" })),
      text(camera.url) && h("code", { class: "url" }, camera.url),
      facts([
        ["Way", [text(camera.route), text(camera.route_reason)].filter(Boolean).join(": ")],
        ["Addresses", texts(camera.addresses).join(", ")],
        ["Checked", number(camera.last_checked) > 0 && agoAndWhen(number(camera.last_checked), zone, now)],
        ["Found", text(camera.detail)],
      ])))));
}

function probe(one, { zone, now }) {
  if (!one.raw.probe) return null;
  const found = object(one.raw.probe);
  return section("Probe", facts([
    ["Result", badge(found.success === true ? "up" : "down", { word: found.success === true ? "answers" : "no answer" })],
    ["Target", text(found.target) && [h("code", {}, found.target), text(found.kind) && ` by ${found.kind}`].filter(Boolean)],
    ["Round trip", number(found.round_trip_s) > 0 && `${(1000 * found.round_trip_s).toFixed(1)} ms`],
    ["Last run", agoAndWhen(number(found.last_run), zone, now)],
    ["Failures in a row", number(found.failures_in_a_row) > 0 && String(found.failures_in_a_row)],
    ["Found", text(found.detail)],
  ]));
}

function attempts(one, { zone, now }) {
  const made = objects(one.raw.attempts);
  const next = number(one.raw.next_attempt);
  if (!made.length && !next) return null;
  return section("Attempts of the hub",
    facts([["Next attempt", next > 0 && agoAndWhen(next, zone, now)]]),
    made.length > 0 && h("ul", { class: "counts" }, made.map((attempt) => h("li", { key: text(attempt.goal) },
      h("code", {}, text(attempt.goal)), ` ${times(attempt.count)}, the last one `, agoAndWhen(number(attempt.last_attempt), zone, now)))));
}

function keys(one, { zone, now }) {
  const stage = text(one.raw.key_rotation);
  const after = number(one.raw.rekey_after);
  if (!stage && !after) return null;
  return section("Keys", facts([
    ["Replacement", stage && `${stage}: ${own(ROTATION, stage) ?? ""}`],
    ["Renewed if older than", after > 0 && agoAndWhen(after, zone, now)],
  ]));
}

/** Pieces of the past with what was said of them, oldest first. */
function pastOf(one, { now }) {
  const found = objects(one.raw.transitions).map((change) => ({
    at: number(change.at), from: text(change.from_status), to: text(change.to_status), reason: text(change.reason),
  }));
  return pieces(found, now).map((piece, at) => ({ ...found[at], ...piece }));
}

function bar(past, { stale }) {
  const drawn = timeline(past);
  if (!drawn) return null;
  return h("section", { key: "bar", class: "card wide" }, h("h2", { class: "visually-hidden" }, "Timeline"),
    h("p", { class: "share" }, stale ? "as far as is known" : share(past)), drawn);
}

function history(past, { zone, now }) {
  if (!past.length) return null;
  return h("section", { key: "history", class: "card wide" }, h("h2", {}, "History"),
    h("ol", { class: "changes" }, past.map((piece, at) => h("li", { key: `${piece.at} ${piece.from} ${piece.to}` },
      badge(piece.to, { word: own(WORDS, piece.to) ?? piece.to }),
      h("span", { class: "c-at" }, agoAndWhen(piece.at, zone, now)),
      h("span", { class: "c-lasted" }, at === past.length - 1 ? "until now" : `for ${duration(piece.end - piece.at)}`),
      h("span", { class: "c-why", dir: "auto" }, piece.reason))).reverse()));
}
