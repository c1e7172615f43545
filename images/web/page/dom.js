// A description of what should be there, and the fewest steps from what is there to that.
// Only what differs is touched, so focus, selection and open details stay. Text only ever becomes text.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "rect", "circle", "line", "g"]);
const keys = new WeakMap();

/** Describe an element. `key`: by which it is known again among its siblings. */
export function h(tag, attributes, ...children) {
  const { key, ...rest } = attributes ?? {};
  return { tag, key, attributes: rest, children: children.flat(Infinity).filter(isThere) };
}

function isThere(child) {
  return child !== null && child !== undefined && child !== false && child !== "";
}

/** Make the children of `parent` as described. */
export function patch(parent, ...wanted) {
  const children = wanted.flat(Infinity).filter(isThere);
  const pool = poolOf(parent);
  const nodes = children.map((child) => take(pool, child) ?? create(child));
  pool.rest().forEach((node) => node.remove());
  place(parent, nodes);
  children.forEach((child, at) => update(nodes[at], child));
}

/** Put these nodes in this order, at the front of `parent`. */
export function place(parent, nodes) {
  for (const _ of placing(parent, nodes));
}

/** The same, step by step: one step moves one node, and as few as possible are moved. */
export function* placing(parent, nodes) {
  const at = new Map([...parent.childNodes].map((node, index) => [node, index]));
  const staying = longestRise(nodes.map((node) => at.get(node) ?? -1));
  let last = null;
  for (const [index, node] of nodes.entries()) {
    if (!staying.has(index)) {
      move(parent, node, last ? last.nextSibling : parent.firstChild);
      yield;
    }
    last = node;
  }
}

function move(parent, node, next) {
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  parent.insertBefore(node, next);
  focused?.focus({ preventScroll: true });
}

/** Return the indexes of a longest rising part of `numbers`, -1 apart: these need not move. */
function longestRise(numbers) {
  const before = new Array(numbers.length);
  const tails = [];
  numbers.forEach((number, i) => {
    if (number < 0) return;
    let low = 0;
    let high = tails.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (numbers[tails[middle]] < number) low = middle + 1;
      else high = middle;
    }
    before[i] = low > 0 ? tails[low - 1] : -1;
    tails[low] = i;
  });
  const staying = new Set();
  for (let i = tails.at(-1) ?? -1; i >= 0; i = before[i]) staying.add(i);
  return staying;
}

function poolOf(parent) {
  const keyed = new Map();
  const plain = new Map();
  for (const node of parent.childNodes) {
    const key = keys.get(node);
    if (key !== undefined) keyed.set(key, node);
    else if (plain.has(node.nodeName)) plain.get(node.nodeName).push(node);
    else plain.set(node.nodeName, [node]);
  }
  return {
    take(name, key) {
      if (key === undefined) return plain.get(name)?.shift();
      const node = keyed.get(key);
      if (node?.nodeName !== name) return undefined;
      keyed.delete(key);
      return node;
    },
    rest: () => [...keyed.values(), ...[...plain.values()].flat()],
  };
}

function take(pool, child) {
  if (typeof child !== "object") return pool.take("#text");
  return pool.take(SVG_TAGS.has(child.tag) ? child.tag : child.tag.toUpperCase(), child.key);
}

function create(child) {
  if (typeof child !== "object") return document.createTextNode("");
  const svg = SVG_TAGS.has(child.tag);
  const node = svg ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
  if (child.key !== undefined) keys.set(node, child.key);
  return node;
}

/** Make an element from its description. */
export function make(child) {
  const node = create(child);
  update(node, child);
  return node;
}

/** Make an element as described. */
export function update(node, child) {
  if (typeof child !== "object") {
    if (node.data !== String(child)) node.data = String(child);
    return;
  }
  setAttributes(node, child.attributes);
  patch(node, child.children);
}

const given = new WeakMap();

function setAttributes(node, attributes) {
  for (const name of given.get(node) ?? []) {
    if (!(name in attributes)) node.removeAttribute(name);
  }
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node[name] = value;
    else setAttribute(node, name, value);
  }
  given.set(node, Object.keys(attributes).filter((name) => !name.startsWith("on")));
}

/** Set an attribute if it differs; true is empty, false and null take it away. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Let the browser draw and listen, then go on. */
export function breathe() {
  if (globalThis.scheduler?.yield) return scheduler.yield();
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Go on when what is there has been drawn. */
export function nextFrame() {
  return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)));
}

const SLICE_MS = 8;

/** Work of some length, cut so small that nobody notices. */
export class Slice {
  #began = performance.now();

  hasTime() {
    return performance.now() - this.#began < SLICE_MS;
  }

  async pause() {
    await breathe();
    this.#began = performance.now();
  }
}
