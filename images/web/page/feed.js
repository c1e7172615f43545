// Asks for vpn-status.json again and again, and knows how far its answer can be trusted.

import { breathe } from "./dom.js";

const URL = "vpn-status.json";
const EVERY_MS = 5000;
const LONGEST_PAUSE_MS = 60000;
const PATIENCE_MS = 20000;
/** The reconciler promises that the file is never older. */
const FRESH_S = 30;
/** So long without an answer, and nobody knows how things are now. */
const SILENCE_S = 15;
/** A file changed within this time may change again without a new ETag. */
const SETTLED_MS = 2000;

/** The server's time by the viewer's clock, which may be wrong: each Date header narrows it down. */
class Clock {
  #from = -Infinity;
  #to = Infinity;

  learn(date, askedAt, answeredAt) {
    const from = date - answeredAt;
    const to = date + 1000 - askedAt;
    const agrees = from <= this.#to && to >= this.#from;
    this.#from = agrees ? Math.max(from, this.#from) : from;
    this.#to = agrees ? Math.min(to, this.#to) : to;
  }

  /** How much the viewer's clock is behind, in milliseconds; 0 as long as nothing is known. */
  get behindMs() {
    return Number.isFinite(this.#from) ? (this.#from + this.#to) / 2 : 0;
  }

  now() {
    return (Date.now() + this.behindMs) / 1000;
  }
}

export class Feed {
  clock = new Clock();
  document = null;
  #problem = null;
  #answeredAt = 0;
  #failures = 0;
  #etag = null;
  #timer = 0;
  #asking = false;
  #onNews;

  /** `onNews(changed)` is called, and waited for, after every attempt. */
  constructor(onNews) {
    this.#onNews = onNews;
    document.addEventListener("visibilitychange", () => this.#woken());
    globalThis.addEventListener("online", () => this.#woken());
  }

  start() {
    this.#woken();
  }

  /** Why what is shown may not be how things are now: `kind` and `text`; null if it is. */
  get doubt() {
    const now = this.clock.now();
    const silence = now - this.#answeredAt;
    if (this.#problem && (!this.document || silence > SILENCE_S || this.#problem.kind !== "no-answer")) {
      return this.#problem;
    }
    if (!this.document) return null;
    if (silence > SILENCE_S) return { kind: "no-answer", text: "the server has not been asked for a while" };
    const age = Math.floor(this.#answeredAt) - this.document.timestamp;
    if (age > FRESH_S) {
      return { kind: "old", text: "the reconciler isn't running, or can't write the file" };
    }
    if (age < -FRESH_S) {
      return { kind: "future", text: "the file was written in the future, so one of the hub's clocks is wrong" };
    }
    return null;
  }

  async #ask() {
    const askedAt = Date.now();
    const headers = this.#etag ? { "If-None-Match": this.#etag } : {};
    const answer = await fetch(URL, { cache: "no-store", headers, signal: AbortSignal.timeout(PATIENCE_MS) });
    const date = Date.parse(answer.headers.get("Date") ?? "");
    if (date) this.clock.learn(date, askedAt, Date.now());
    if (answer.status === 304) return false;
    if (!answer.ok) throw new Refused(answer.status);
    const text = await answer.text();
    await breathe();
    this.document = read(text);
    const changedAt = Date.parse(answer.headers.get("Last-Modified") ?? "");
    this.#etag = date - changedAt >= SETTLED_MS ? answer.headers.get("ETag") : null;
    return true;
  }

  async #poll() {
    if (this.#asking) return;
    this.#asking = true;
    clearTimeout(this.#timer);
    let changed = false;
    try {
      changed = await this.#ask();
      this.#answeredAt = this.clock.now();
      this.#failures = 0;
      changed ||= this.#problem !== null;
      this.#problem = null;
    } catch (error) {
      this.#failures += 1;
      this.#etag = null;
      this.#problem = explain(error);
    }
    await this.#onNews(changed);
    this.#asking = false;
    if (!document.hidden) this.#timer = setTimeout(() => this.#poll(), this.#pauseMs());
  }

  #pauseMs() {
    const longer = Math.min(EVERY_MS * 2 ** Math.max(0, this.#failures - 1), LONGEST_PAUSE_MS);
    return this.#failures > 1 ? longer * (0.75 + Math.random() / 4) : EVERY_MS;
  }

  #woken() {
    if (document.hidden) clearTimeout(this.#timer);
    else this.#poll();
  }
}

class Refused extends Error {
  constructor(status) {
    super(String(status));
    this.status = status;
  }
}

class Damaged extends Error {}

function read(text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new Damaged();
  }
  const whole = isObject(found) && Number.isFinite(found.timestamp) && isObject(found.connections);
  if (!whole) throw new Damaged();
  return found;
}

export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function explain(error) {
  if (error instanceof Damaged) {
    return { kind: "damaged", text: "what the server sent is no status document" };
  }
  if (error instanceof Refused && error.status === 404) {
    return { kind: "missing", text: "there is no vpn-status.json; the reconciler has not written one yet" };
  }
  if (error instanceof Refused) {
    return { kind: "refused", text: `the server refused to hand out vpn-status.json (${error.status})` };
  }
  return { kind: "no-answer", text: "the server that holds this page does not answer" };
}
