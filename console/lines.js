// Lines: meters that show why it is speech or silence, and the keys that are heard.

import { at, make } from "./page.js";
import { dbfs } from "./words.js";

const LOWEST = -90;
/** So many keys are shown, and each counts as new for so long. */
const KEYS = { most: 12, newMs: 1500 };
/** Words change once in so many levels, or nobody could read or hear them. */
const WORDS_EVERY = 5;

const cards = new Map();
const place = (level) => Math.min(1, Math.max(0, 1 - level / LOWEST));

/** One channel's meter. */
class Meter {
  constructor(name) {
    const mark = (kind, title) => make("div", { class: `mark ${kind}`, title });
    [this.level, this.floor, this.threshold, this.peak] = [make("div", { class: "level" }), mark("floor", "noise floor"), mark("threshold", "threshold of speech"), mark("peak", "peak")];
    this.bar = make("div", { class: "meter", role: "meter", "aria-label": name, "aria-valuemin": LOWEST, "aria-valuemax": 0, "aria-valuenow": LOWEST },
      this.level, this.floor, this.threshold, this.peak);
    this.words = make("p", { class: "why" }, "No level yet.");
    [this.floorWords, this.thresholdWords] = [make("b"), make("b")];
    const legend = make("div", { class: "legend" }, make("span", { class: "f" }, "floor ", this.floorWords), make("span", { class: "t" }, "threshold ", this.thresholdWords));
    this.element = make("div", {}, this.bar, legend, this.words);
    this.count = 0;
    this.clipped = 0;
  }

  show({ rmsDbfs, peak, clipped, noiseFloorDbfs, thresholdDbfs, speaking }) {
    this.level.style.transform = `scaleX(${place(rmsDbfs)})`;
    this.floor.style.left = `${place(noiseFloorDbfs) * 100}%`;
    this.threshold.style.left = `${place(thresholdDbfs) * 100}%`;
    this.peak.style.left = `${place(20 * Math.log10(Math.max(peak, 1e-5))) * 100}%`;
    this.bar.classList.toggle("speaking", speaking);
    this.clipped += clipped;
    if (this.count++ % WORDS_EVERY) return;
    const above = rmsDbfs - thresholdDbfs;
    const side = `${Math.abs(above).toFixed(0)} dB ${above < 0 ? "below" : "above"} the threshold`;
    const state = speaking ? "Speech" : above < 0 ? "Silence" : "No speech (a key, or too short yet)";
    const over = this.clipped ? `; ${this.clipped} samples clipped` : "";
    this.words.textContent = `${state}: ${dbfs(rmsDbfs)}, ${side}${over}`;
    this.floorWords.textContent = dbfs(noiseFloorDbfs);
    this.thresholdWords.textContent = dbfs(thresholdDbfs);
    this.bar.setAttribute("aria-valuenow", rmsDbfs);
    this.bar.setAttribute("aria-valuetext", this.words.textContent);
  }
}

/** Shows the lines; `record(name)` begins a recording on one. */
export function showLines(lines, record) {
  cards.clear();
  at("lines").replaceChildren(...lines.map((line) => card(line, record)));
  for (const line of lines) showLevels({ line: line.name, levels: line.levels.map((level) => ({ ...level, clipped: 0 })) });
}

function card(line, record) {
  const about = line.sampleRate ? `${line.sampleRate} Hz, ${line.channels === 1 ? "one channel" : `${line.channels} channels`}` : "opens with a recording";
  const state = make("span", { class: line.ready ? "good" : "bad" }, line.ready ? "ready" : "not ready");
  const start = make("button", { type: "button", "aria-label": `Record on ${line.name}`, onclick: () => record(line.name) }, "Record …");
  const meters = make("div");
  const keys = make("ol", { class: "keys", "aria-label": `Keys heard on ${line.name}`, "aria-live": "polite" });
  cards.set(line.name, { meters, list: [], keys, state });
  return make("article", { class: "card", "aria-label": `Line ${line.name}` },
    make("header", {}, make("h3", {}, line.name), state, start), make("p", { class: "quiet" }, `${line.source} · ${about}`), meters, keys);
}

/** Whether the lines are ready, and if not, why. */
export function showReady(lines) {
  for (const { line, ready, reason } of lines) {
    const shown = cards.get(line)?.state;
    if (!shown) continue;
    shown.className = ready ? "good" : "bad";
    const words = ready ? "ready" : `not ready: ${reason}; it is tried again by itself`;
    if (shown.textContent !== words) shown.textContent = words;
  }
}

export function showLevels({ line, levels }) {
  const card = cards.get(line);
  if (!card) return;
  if (card.list.length !== levels.length) {
    card.list = levels.map((_, index) => new Meter(`Level of ${line}, channel ${index + 1}`));
    card.meters.replaceChildren(...card.list.map((meter) => meter.element));
  }
  levels.forEach((level, index) => card.list[index].show(level));
}

export function showKey({ line, digit, lowHz, highHz, levelDbfs }) {
  const keys = cards.get(line)?.keys;
  if (!keys) return;
  const shown = make("li", { class: "new" }, make("b", {}, digit), ` ${lowHz} + ${highHz} Hz, ${dbfs(levelDbfs)}`);
  keys.append(shown);
  while (keys.children.length > KEYS.most) keys.firstChild.remove();
  setTimeout(() => shown.classList.remove("new"), KEYS.newMs);
}
