// Waveforms: drawn from the peaks that the daemon gives, with what was heard in them.

import { get } from "./daemon.js";
import { colour } from "./page.js";

/** A growing recording is looked at in stretches of a twentieth of a second. */
const STRETCHES_A_SECOND = 20;
/** A line has so many decibels from nothing to full scale: quiet speech is to be seen, too. */
const LOWEST = -54;

/** The peaks of a whole recording. */
export const whole = (id) => get(`/recordings/${id}/outline`);

/** The outline of a recording while it grows. */
export class Growing {
  constructor(id, sampleRate) {
    Object.assign(this, { id, peaks: [], step: Math.round(sampleRate / STRETCHES_A_SECOND), busy: false });
  }

  /** Fetches what has come since; `false` if nothing has. */
  async grow() {
    if (this.busy) return false;
    this.busy = true;
    try {
      const { peaks } = await get(`/recordings/${this.id}/outline?from=${this.peaks.length * this.step}&step=${this.step}`);
      this.peaks.push(...peaks);
      return peaks.length > 0;
    } finally {
      this.busy = false;
    }
  }
}

const height = (peak) => Math.max(0.01, 1 - (20 * Math.log10(Math.max(peak, 1e-6))) / LOWEST);

/** Draws peaks over `share` of the width; `marks` are `{from, to, colour}` or `{at, colour}` in shares of the width. */
export function draw(canvas, peaks, { share = 1, marks = [], played = null } = {}) {
  const scale = devicePixelRatio || 1;
  const [width, tall] = [canvas.clientWidth * scale, canvas.clientHeight * scale].map(Math.round);
  if (canvas.width !== width || canvas.height !== tall) Object.assign(canvas, { width, height: tall });
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, tall);
  for (const { from, to, colour: name } of marks.filter((mark) => mark.from != null)) {
    context.globalAlpha = 0.22;
    context.fillStyle = colour(name);
    context.fillRect(from * width, 0, Math.max(1, (to - from) * width), tall);
  }
  context.globalAlpha = 1;
  const columns = Math.max(1, Math.round(width * share));
  context.fillStyle = colour("wave");
  for (let x = 0; x < columns && peaks.length; x++) {
    const first = Math.floor((x * peaks.length) / columns);
    const last = Math.max(first + 1, Math.floor(((x + 1) * peaks.length) / columns));
    let peak = 0;
    for (let index = first; index < last; index++) peak = Math.max(peak, peaks[index]);
    const half = (height(peak) * tall) / 2;
    context.fillRect(x, tall / 2 - half, 1, half * 2);
  }
  const line = (share, name, thick) => {
    context.fillStyle = colour(name);
    context.fillRect(Math.min(share * width, width - thick * scale), 0, thick * scale, tall);
  };
  for (const mark of marks.filter((mark) => mark.at != null)) line(mark.at, mark.colour, 2);
  if (played != null) line(played * share, "accent", 2);
}
