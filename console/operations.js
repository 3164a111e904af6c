// Operations: those that run, and the list of all that have ended, of which only what is seen exists.

import { get, remove } from "./daemon.js";
import { Growing, draw } from "./outline.js";
import { at, attempt, make } from "./page.js";
import { ending, length, reason, reasons, when } from "./words.js";

const PAGE = 500;
/** Rows beyond what is seen. */
const SPARE = 6;
const GROW_EVERY_MS = 500;
/** So many growing waveforms are followed. */
const FOLLOWED = 12;
const GATHER_MS = 300;

const ended = (status) => status === "completed" || status === "failed";
export const contextOf = ({ operation }) => operation.clientContext ?? "";

// --- what runs

const running = new Map();

class Running {
  constructor(seen, open) {
    this.seen = seen;
    this.since = Date.now();
    const { operation } = seen;
    const kind = seen.request ? "recording" : "prompt";
    this.state = make("p", {}, "");
    this.bar = make("progress", { max: 1, value: 0, "aria-label": "Part of the greatest length" });
    this.canvas = make("canvas", { role: "img", "aria-label": "Waveform as far as it is recorded" });
    const cancel = make("button", { type: "button", onclick: () => attempt("Cancelling", () => remove(`/app/calls/${seen.call}/operations/${operation.id}`)) }, "Cancel");
    const more = make("button", { type: "button", onclick: () => open(this.seen) }, "Details");
    this.element = make("article", { class: "card", "aria-label": `A ${kind} on ${seen.line}`, "data-id": operation.id },
      make("header", {}, make("h3", {}, seen.line), make("span", {}, contextOf(seen)), more, cancel),
      this.state, ...(seen.request ? [this.bar, this.canvas] : []));
    this.show(seen.progress);
  }

  show(progress) {
    const { request, operation } = this.seen;
    if (!progress) {
      const first = request && (request.prompts.length || request.playBeep) ? "prompts and beep come first" : "it begins with the next frame";
      this.state.textContent = operation.status === "notStarted" ? "Waits for its turn." : `Runs: ${first}.`;
      return;
    }
    const elapsed = progress.frames / progress.sampleRate;
    this.state.textContent = `${length(elapsed)} recorded; ${ending(progress)}`;
    this.bar.value = elapsed / request.maxRecordDurationInSeconds;
    this.outline ??= new Growing(operation.id, progress.sampleRate);
  }

  async grow() {
    // It may end at any moment: then there is nothing left to look at here.
    const grown = await this.outline?.grow().catch(() => false);
    if (grown) draw(this.canvas, this.outline.peaks);
  }
}

setInterval(() => {
  if (document.hidden || at("now").hidden) return;
  for (const one of [...running.values()].slice(0, FOLLOWED)) one.grow();
}, GROW_EVERY_MS);

export function showProgress({ running: all }) {
  for (const progress of all) running.get(progress.id)?.show(progress);
}

function nothingRuns() {
  const empty = at("running").querySelector(".quiet");
  if (running.size && empty) empty.remove();
  if (!running.size && !empty) at("running").replaceChildren(make("p", { class: "quiet" }, "Nothing runs."));
}

/** An operation has changed. */
export function showOperation(seen, open) {
  const { id, status } = seen.operation;
  const known = running.get(id);
  if (ended(status)) {
    known?.element.remove();
    running.delete(id);
    gather();
  } else if (known) {
    known.seen = seen;
    known.show(seen.progress);
  } else {
    const one = new Running(seen, open);
    running.set(id, one);
    at("running").prepend(one.element);
  }
  nothingRuns();
}

/** All that runs, after the connection was lost or at first. */
export async function loadRunning(open) {
  const pages = await Promise.all(["running", "notStarted"].map((status) => get(`/operations?status=${status}&$top=${PAGE}`)));
  for (const { element } of running.values()) element.remove();
  running.clear();
  for (const seen of pages.flatMap((page) => page.value).reverse()) showOperation(seen, open);
  nothingRuns();
}

// --- the list

const list = { rows: [], count: 0, next: null, filter: "", busy: false, stale: false, open: () => {} };
const [sizer, shown] = [make("div", { class: "sizer" }), make("ul")];
let rowHeight = 56;
let gathering = null;

const path = (top) => `/operations?${list.filter}${list.filter && "&"}$top=${top}`;
const wanted = (seen) => ended(seen.operation.status);

/** Reads the list anew from its beginning. */
export async function load() {
  const filter = list.filter;
  const page = await get(path(PAGE));
  if (filter !== list.filter) return;
  Object.assign(list, { rows: page.value.filter(wanted), count: page["@odata.count"] - page.value.filter((seen) => !wanted(seen)).length, next: page["@odata.nextLink"] ?? null });
  render(true);
}

/** Reads on; links are the daemon's own address, which a proxy may know under another name. */
async function more() {
  if (list.busy || !list.next) return;
  list.busy = true;
  try {
    const { pathname, search } = new URL(list.next);
    const from = list.next;
    const page = await get(pathname + search);
    if (list.next !== from) return;
    list.rows.push(...page.value.filter(wanted));
    list.next = page["@odata.nextLink"] ?? null;
    if (!list.next) list.count = list.rows.length;
    render(true);
  } finally {
    list.busy = false;
  }
}

/** Something has ended: the newest rows are read again, once for all that end within a moment. */
function gather() {
  gathering ??= setTimeout(() => {
    gathering = null;
    attempt("Reading the recordings", load);
  }, GATHER_MS);
}

/** A recording was deleted. */
export function forget({ id }) {
  const before = list.rows.length;
  list.rows = list.rows.filter((seen) => seen.operation.id !== id);
  list.count -= before - list.rows.length;
  render(true);
}

function row(seen) {
  const { operation } = seen;
  const cell = (kind, words) => make("span", { class: kind }, words);
  const long = operation.recording ? length(operation.recording.durationSeconds) : "no audio";
  const words = reason(operation.completionReason);
  const button = make("button", { type: "button", onclick: () => list.open(seen) },
    cell("when", when(operation.createdDateTime)), cell("line", seen.line), cell("length", long), cell("context", contextOf(seen)),
    cell(`reason ${operation.status === "failed" ? "bad" : ""}`, words));
  return make("li", {}, button);
}

let drawn = "";
/** The rows in the page by their operation's id. What has ended stays as it is, so its row does, and with it the focus that a dialog gives back. */
let rows = new Map();
/** Puts the rows that are seen into the page; the others are only height. */
function render(anew = false) {
  const box = at("list");
  if (!box.clientHeight) return;
  const first = Math.max(0, Math.floor(box.scrollTop / rowHeight) - SPARE);
  const last = Math.min(list.rows.length, Math.ceil((box.scrollTop + box.clientHeight) / rowHeight) + SPARE);
  if (last >= list.rows.length - SPARE) attempt("Reading the recordings", more);
  if (!anew && drawn === `${first} ${last}`) return;
  drawn = `${first} ${last}`;
  const focused = shown.contains(document.activeElement) ? document.activeElement : null;
  sizer.style.height = `${(list.next ? list.count : list.rows.length) * rowHeight}px`;
  shown.style.transform = `translateY(${first * rowHeight}px)`;
  rows = new Map(list.rows.slice(first, last).map((seen) => [seen.operation.id, rows.get(seen.operation.id) ?? row(seen)]));
  [...rows.values()].forEach((item, index) => {
    item.firstChild.dataset.index = first + index;
    item.setAttribute("aria-setsize", list.count);
    item.setAttribute("aria-posinset", first + index + 1);
  });
  shown.replaceChildren(...rows.values());
  focused?.focus({ preventScroll: true });
  at("found").textContent = list.count ? `${list.count.toLocaleString()} found` : "None found.";
  if (shown.firstChild) rowHeight = shown.firstChild.offsetHeight || rowHeight;
}

/** Up, down, home and end move through all rows, those that are not in the page included. */
function move(event) {
  const from = Number(document.activeElement.dataset?.index ?? -1);
  const steps = { ArrowDown: from + 1, ArrowUp: from - 1, Home: 0, End: list.rows.length - 1 };
  const to = steps[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const index = Math.min(Math.max(to, 0), list.rows.length - 1);
  const box = at("list");
  const top = index * rowHeight;
  if (top < box.scrollTop) box.scrollTop = top;
  if (top + rowHeight > box.scrollTop + box.clientHeight) box.scrollTop = top + rowHeight - box.clientHeight;
  render();
  shown.querySelector(`[data-index="${index}"]`)?.focus({ preventScroll: true });
}

function search(lines) {
  const field = (name, label, input) => make("div", {}, make("label", { for: `by-${name}` }, label), Object.assign(input, { id: `by-${name}`, name }));
  const choice = (all) => make("select", {}, make("option", { value: "" }, "any"), ...all.map(([value, words]) => make("option", { value }, words)));
  const form = at("search");
  form.replaceChildren(
    field("text", "Context or id", make("input", { type: "search" })),
    field("line", "Line", choice(lines.map((line) => [line.name, line.name]))),
    field("reason", "Ended by", choice(reasons())),
    field("since", "From", make("input", { type: "date" })),
    field("before", "To", make("input", { type: "date" })));
  const changed = () => {
    const asked = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      const day = () => new Date(`${value}T00:00:00`);
      if (!value) continue;
      if (name === "since") asked.set(name, day().toISOString());
      else if (name === "before") asked.set(name, new Date(day().setDate(day().getDate() + 1)).toISOString());
      else asked.set(name, value);
    }
    list.filter = asked.toString();
    at("list").scrollTop = 0;
    attempt("Searching", load);
  };
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => event.preventDefault());
}

/** Prepares the list; `open(seen)` shows one. */
export function startList(lines, open) {
  list.open = open;
  search(lines);
  const box = at("list");
  box.replaceChildren(sizer, shown);
  box.onscroll = () => render();
  box.onkeydown = move;
  window.onresize = () => render(true);
}

/** The list has come into sight. */
export const showList = () => render(true);
