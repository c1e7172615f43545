// The hub itself: charon, its container, the packet filter, airports.json and the reconciler.

import { h, patch } from "./dom.js";
import { number, object, text, texts } from "./model.js";
import { ago, agoAndWhen, badge, facts, icon, section } from "./parts.js";
import { myZone } from "./times.js";

export function showHub(root, { hub }, context) {
  const given = { ...context, zone: myZone };
  patch(root,
    h("header", { class: "title" }, h("h1", { tabindex: "-1" }, "Hub"),
      h("p", { class: "sub" }, "The daemon that ends all tunnels, and what keeps it as declared")),
    hub.problems.length > 0 && h("div", { class: "matters" }, hub.problems.map((problem) =>
      h("p", { key: problem.text, class: `notice ${problem.grave ? "grave" : ""}` }, icon(problem.grave ? "down" : "trouble"),
        h("span", {}, h("strong", {}, `${problem.text}.`), problem.more && [" ", h("span", { class: "more" }, problem.more)])))),
    h("div", { class: "cards" }, daemon(hub, given), reconciler(hub), container(hub, given), filter(hub, given), configuration(hub, given)),
    strangers(hub, given));
}

function daemon({ daemon: found }, { stale, now, zone }) {
  const state = { true: "up", false: "down" }[found.reachable] ?? "unknown";
  const word = { up: "answers", down: "does not answer", unknown: "not known" }[state];
  return section("charon", facts([
    ["State", badge(state, { word, was: stale })],
    ["Error", text(found.error)],
    ["Version", text(found.version)],
    ["Running since", number(found.running_since) > 0 && agoAndWhen(found.running_since, zone, now)],
    ["Data plane", text(found.data_plane)],
    ["Key exchanges", found.reachable && `${number(found.ike_sas)}, ${number(found.half_open_ike_sas)} of them unfinished`],
    ["Threads", found.reachable && `${number(found.workers_idle)} of ${number(found.workers_total)} idle, ${number(found.queued_jobs)} jobs wait`],
  ]));
}

function container({ container: found }, { now, zone }) {
  if (!found) return section("Container", h("p", {}, "No Docker API is configured."));
  const time = (unix) => number(unix) > 0 && agoAndWhen(number(unix), zone, now);
  return section("Container", facts([
    ["Name", h("code", {}, text(found.name))],
    ["State", [text(found.state), text(found.health)].filter(Boolean).join(", ")],
    ["Problem", text(found.problem)],
    ["Held", text(found.held)],
    ["Error", text(found.error)],
    ["Started", time(found.started_at)],
    ["Docker's restarts", String(number(found.restart_count))],
    ["Last exit code", number(found.exit_code) !== 0 && String(found.exit_code)],
    ["Out of memory", found.out_of_memory === true && "yes"],
    ["Next attempt", time(found.next_attempt)],
    ["Last action", text(found.last_action) && [found.last_action, " ", time(found.last_action_at)]],
  ]));
}

function filter({ filter: found }, { now, zone }) {
  if (!found) return section("Packet filter", h("p", {}, "None is configured."));
  const dropped = Object.entries(object(found.dropped_packets)).map(([cause, count]) => `${number(count)} ${cause}`);
  return section("Packet filter", facts([
    ["State", badge(found.as_declared === true ? "up" : "trouble", { word: text(found.state) })],
    ["Error", text(found.error)],
    ["Dropped packets", dropped.join(", ")],
    ["Last loaded", number(found.last_loaded_at) > 0 && agoAndWhen(found.last_loaded_at, zone, now)],
  ]));
}

function configuration({ configuration: found, faults, held }, { now, zone }) {
  const invalid = texts(found.airports_invalid);
  const disabled = texts(found.airports_disabled);
  return h("section", { key: "airports.json", class: "card" }, h("h2", {}, "airports.json"),
    facts([
      ["State", badge(found.valid === true ? "up" : "trouble", { word: found.valid === true ? "valid" : "has errors" })],
      ["File", text(found.path) && h("code", {}, found.path)],
      ["Last read", number(found.last_read) > 0 && agoAndWhen(found.last_read, zone, now)],
      ["Last valid", found.valid === false && agoAndWhen(number(found.last_valid), zone, now)],
      ["Tunnels declared", String(number(found.airports_declared))],
      ["With an error", invalid.join(", ")],
      ["Switched off", disabled.join(", ")],
      ["Removals held", held.length > 0 && [held.join(", "), "; confirm with ", h("code", {}, "reconciler apply --allow-removals")]],
    ]),
    faults.length > 0 && h("ul", { class: "faults" }, faults.map((fault) => h("li", { key: `${text(fault.path)} ${text(fault.message)}` },
      h("span", { class: `tag ${fault.severity === "warning" ? "" : "bad"}` }, text(fault.severity)), " ",
      h("code", { dir: "auto" }, text(fault.path)), " ", h("span", { dir: "auto" }, text(fault.message))))));
}

function reconciler({ reconciler: found, errors }) {
  const actions = texts(found.actions);
  return section("Reconciler", facts([
    ["Version", text(found.version)],
    ["Round", String(number(found.round))],
    ["Made because of", texts(found.reasons).join(", ")],
  ]),
  errors.length > 0 && [h("h3", {}, "Errors"), h("ul", {}, errors.map((error) => h("li", { dir: "auto" }, error)))],
  actions.length > 0 && [h("h3", {}, "Done in this round"), h("ul", {}, actions.map((action) => h("li", { dir: "auto" }, action)))]);
}

function strangers({ strangers: found }, { now, zone }) {
  return h("section", { key: "Strangers", class: "card wide" }, h("h2", {}, "Strangers"),
    h("p", { class: "hint" }, "Peers that fit no declared tunnel. What they say of themselves is not proved."),
    found.length ? h("ul", { class: "faults" }, [...found].reverse().map((one) => h("li", { key: `${text(one.remote_address)} ${text(one.claimed_id)} ${text(one.code)}` },
      h("code", {}, text(one.remote_address)), text(one.claimed_id) && [" calls itself ", h("code", { dir: "auto" }, one.claimed_id)],
      ": ", h("code", {}, text(one.code)), `, ${number(one.count)} ${number(one.count) === 1 ? "time" : "times"}, last `, ago(number(one.last_seen), zone, now),
      text(one.words) && [". ", h("q", { dir: "auto" }, one.words)]))) : h("p", {}, "None."));
}
