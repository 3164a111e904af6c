// One operation: what decided its end, its waveform with what was heard, its audio.

import { bytes, remove } from "./daemon.js";
import { contextOf } from "./operations.js";
import { draw, whole } from "./outline.js";
import { at, attempt, fact, make } from "./page.js";
import { dbfs, evidence, length, next, reason, seconds, size, when } from "./words.js";

/** What is longer is played in pieces. */
const WHOLE_BYTES = 32e6;
const PIECE_SECONDS = 300;
const HEAD_BYTES = 1023;
const STEP_SECONDS = 5;

/** Plays a recording; a long one piece by piece, each fetched when it is asked for. */
class Player {
  constructor({ operation, request }) {
    this.format = request.recordingFormat;
    this.path = `/recordings/${operation.id}`;
    this.recording = operation.recording;
    this.audio = make("audio", { controls: true, "aria-label": "Player" });
    this.from = 0;
  }

  get isWhole() {
    return this.recording.bytes <= WHOLE_BYTES || this.format === "flac";
  }

  /** The second that is played. */
  get second() {
    return this.from + this.audio.currentTime;
  }

  async open(second = 0) {
    const blob = this.isWhole ? await bytes(this.path) : await this.piece(second);
    this.close();
    this.from = this.isWhole ? 0 : second;
    this.url = URL.createObjectURL(blob);
    this.audio.src = this.url;
    if (this.isWhole) this.audio.currentTime = second;
  }

  /** A WAV of its own of what begins at this second. */
  async piece(second) {
    const head = await (await bytes(this.path, [0, HEAD_BYTES])).arrayBuffer();
    const view = new DataView(head);
    const word = (place) => String.fromCharCode(...new Uint8Array(head, place, 4));
    let format, place = 12;
    while (word(place) !== "data") {
      if (word(place) === "fmt ") format = new Uint8Array(head, place, 8 + view.getUint32(place + 4, true));
      place += 8 + view.getUint32(place + 4, true) + (view.getUint32(place + 4, true) % 2);
    }
    const { frames, sampleRate } = this.recording;
    const frameBytes = new DataView(format.buffer, format.byteOffset).getUint16(20, true);
    const from = Math.min(Math.floor(second * sampleRate), frames - 1);
    const count = Math.min(frames - from, PIECE_SECONDS * sampleRate) * frameBytes;
    const first = place + 8 + from * frameBytes;
    const samples = await bytes(this.path, [first, first + count - 1]);
    const number = (value) => new Uint8Array(new Uint32Array([value]).buffer);
    return new Blob(["RIFF", number(4 + format.length + 8 + count), "WAVE", format, "data", number(count), samples], { type: "audio/wav" });
  }

  async seek(second) {
    const playing = !this.audio.paused;
    const inside = second >= this.from && second < this.from + (this.audio.duration || 0);
    if (this.isWhole || inside) this.audio.currentTime = second - this.from;
    else await this.open(second);
    if (playing) await this.audio.play();
  }

  close() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
  }
}

/** What to draw over the waveform; the decision may lie behind the end, where nothing is kept. */
function marksOf({ recording, evidence: decided }) {
  const last = decided ? Math.max(recording.frames, decided.decidedAtFrame + 1) : recording.frames;
  const share = (frame) => frame / Math.max(last, 1);
  const marks = [], words = [];
  const at = (frame) => seconds(frame / recording.sampleRate, 3);
  const add = (mark, ...said) => { marks.push(mark); words.push(said.join("")); };
  if (decided?.firstVoicedFrame != null) {
    const { firstVoicedFrame: first, lastVoicedFrame: end } = decided;
    add({ from: share(first), to: share(end), colour: "speech" }, `speech: ${at(first)} to ${at(end)}`);
  }
  for (const gap of recording.gaps) add({ from: share(gap.at), to: share(gap.at + gap.frames), colour: "limit" }, `gap at ${at(gap.at)}, ${seconds(gap.frames / recording.sampleRate, 3)}: ${gap.cause}`);
  for (const key of decided?.tone?.keys ?? []) add({ at: share(key.onsetFrame), colour: "floor" }, `key ${key.digit}: ${at(key.onsetFrame)}`);
  if (decided) add({ at: share(decided.decidedAtFrame), colour: "limit" }, `decision: ${at(decided.decidedAtFrame)}`);
  return { marks, words, share: share(recording.frames) };
}

function facts(seen) {
  const { operation, request } = seen;
  const { recording, evidence: decided } = operation;
  const gaps = recording?.lostFrames ? `${recording.lostFrames} frames are missing` : recording && "none";
  return make("dl", { class: "facts" },
    ...fact("Line", seen.line), ...fact("Call", seen.call), ...fact("Context", operation.clientContext),
    ...fact("Accepted", when(operation.createdDateTime)), ...fact("Began", recording?.startedAt && when(recording.startedAt)),
    ...fact("Length", recording && `${length(recording.durationSeconds)} (${recording.frames} frames)`),
    ...fact("Audio", recording && `${recording.sampleRate} Hz, ${recording.channels} ch, ${size(recording.bytes)}`),
    ...fact("Lost", gaps), ...fact("Recovered", recording?.recovered ? "yes, after a crash" : null),
    ...fact("Level", decided && `${dbfs(decided.levelDbfs)}; floor ${dbfs(decided.noiseFloorDbfs)}, threshold ${dbfs(decided.thresholdDbfs)}`),
    ...fact("Asked for", request && make("code", {}, JSON.stringify(request))),
    ...fact("Id", make("code", {}, operation.id)), ...fact("SHA-256", recording && make("code", {}, recording.sha256)));
}

let close = () => {};

/** Shows an operation. */
export function openDetails(seen) {
  close();
  const { operation } = seen;
  const dialog = at("details");
  const title = `${reason(operation.completionReason) ?? operation.status} · ${contextOf(seen) || seen.line}`;
  const shut = make("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const parts = [make("header", { class: "row" }, make("h2", { id: "details-title" }, title), shut),
    make("p", { class: `said ${operation.status === "failed" ? "bad" : ""}` }, evidence(operation))];
  if (next(operation)) parts.push(make("p", {}, next(operation)));
  let player = null;
  if (operation.recording) {
    player = new Player(seen);
    parts.push(...audioOf(operation, player));
  }
  parts.push(facts(seen));
  const path = `/app/calls/${seen.call}/operations/${operation.id}`;
  const drop = make("button", { type: "button", onclick: async () => {
    if (drop.dataset.sure !== "yes") {
      drop.dataset.sure = "yes";
      drop.textContent = "Really delete it and its audio";
    } else if (await attempt("Deleting", () => remove(path))) dialog.close();
  } }, "Delete");
  const save = make("button", { type: "button", class: "main", onclick: () => attempt("Downloading", async () => {
    const url = URL.createObjectURL(await bytes(`/recordings/${operation.id}`));
    make("a", { href: url, download: `${operation.id}.${seen.request.recordingFormat}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }) }, "Download");
  parts.push(make("div", { class: "row" }, operation.recording ? save : null, drop));
  dialog.replaceChildren(...parts);
  if (!dialog.open) dialog.showModal();
  close = () => player?.close();
  dialog.onclose = () => {
    close();
    dialog.replaceChildren();
  };
}

/** The waveform, what is marked in it, and the player. */
function audioOf(operation, player) {
  const { marks, words, share } = marksOf(operation);
  const { durationSeconds } = operation.recording;
  const canvas = make("canvas", { role: "slider", tabindex: 0, "aria-label": "Position", "aria-valuemin": 0, "aria-valuemax": durationSeconds, "aria-valuenow": 0 });
  let peaks = [];
  const show = () => {
    draw(canvas, peaks, { share, marks, played: player.second / durationSeconds });
    canvas.setAttribute("aria-valuenow", player.second.toFixed(1));
    canvas.setAttribute("aria-valuetext", `${seconds(player.second)} of ${seconds(durationSeconds)}`);
  };
  const seek = (second) => attempt("Playing", () => player.seek(Math.min(Math.max(second, 0), durationSeconds)));
  canvas.onclick = (event) => seek((event.offsetX / canvas.clientWidth / share) * durationSeconds);
  canvas.onkeydown = (event) => {
    const to = { ArrowLeft: player.second - STEP_SECONDS, ArrowRight: player.second + STEP_SECONDS, Home: 0, End: durationSeconds }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    seek(to);
  };
  player.audio.ontimeupdate = show;
  player.audio.onseeked = show;
  attempt("Reading the waveform", async () => {
    ({ peaks } = await whole(operation.id));
    show();
  });
  attempt("Fetching the audio", () => player.open());
  return [canvas, make("ul", { class: "marks" }, ...words.map((said) => make("li", {}, said))), player.audio];
}
