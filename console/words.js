// What things are called, and what happened, in sentences.

export const seconds = (value, digits = 1) => `${value.toFixed(digits)} s`;

export function length(value) {
  if (value < 60) return seconds(value);
  const [h, m, s] = [Math.floor(value / 3600), Math.floor(value / 60) % 60, Math.floor(value % 60)];
  const two = (number) => String(number).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)} h` : `${m}:${two(s)} min`;
}

export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) [bytes, unit] = [bytes / 1000, unit + 1];
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

export const dbfs = (value) => `${value.toFixed(1).replace("-", "−")} dBFS`;
export const when = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });

/** Of each reason: its name, what will happen, what was kept, what can be done. */
const REASONS = {
  stopToneDetected: { name: "stop tone", will: "a stop tone" },
  maxSilenceTimeout: { name: "silence after speech", will: "silence after speech" },
  maxRecordDurationReached: { name: "length reached", will: "its greatest length" },
  completedSuccessfully: { name: "played", will: "its end" },
  operationCanceled: { name: "cancelled", will: "a cancel" },
  initialSilenceTimeout: {
    name: "nobody spoke", will: "silence from the start",
    next: "No audio is kept. If somebody did speak, look at the meter: speech must rise above the threshold.",
  },
  playPromptFailed: { name: "prompt failed", next: "Nothing was recorded. Check the prompt's address and that it is a WAV." },
  playBeepFailed: { name: "beep failed", next: "Nothing was recorded. Check the line's playback device, or record without a beep." },
  mediaReceiveTimeout: {
    name: "device gone", will: "the device's absence",
    next: "What came before is kept. Check the cable and the device; the line shows when it is back.",
  },
  unspecifiedError: { name: "failed", will: "an error", next: "What was recorded before is kept. The message above names the cause." },
};

export const reasons = () => Object.entries(REASONS).map(([value, { name }]) => [value, name]);
export const reason = (value) => REASONS[value]?.name ?? value;
export const next = ({ completionReason }) => REASONS[completionReason]?.next;

/** What will end a recording, and in how many seconds. */
export function ending({ frames, sampleRate, due }) {
  if (!due) return "";
  const left = Math.max(0, (due.atFrame - frames) / sampleRate);
  return `ends by ${REASONS[due.reason]?.will ?? due.reason} in ${seconds(left)} if nothing more is heard`;
}

const milliseconds = (frames, rate) => `${Math.round((frames / rate) * 1000)} ms`;

/** Why a recording ended, from its evidence: how it was heard, and how long deciding took. */
export function evidence({ completionReason, recording, evidence, resultInfo }) {
  const message = resultInfo?.message ?? "";
  if (!evidence || !recording) return message;
  const { frames, sampleRate: rate } = recording;
  const end = `at ${seconds(frames / rate, 3)}`;
  const heard = `level ${dbfs(evidence.levelDbfs)}, noise floor ${dbfs(evidence.noiseFloorDbfs)}, threshold ${dbfs(evidence.thresholdDbfs)}`;
  const last = evidence.lastVoicedFrame;
  if (completionReason === "stopToneDetected" && evidence.tone) {
    const key = evidence.tone.keys.at(-1);
    const power = (value) => 10 ** (value / 10);
    const level = 10 * Math.log10(power(key.lowDbfs) + power(key.highDbfs));
    const took = milliseconds(key.decisionFrame + 1 - key.onsetFrame, rate);
    return `Ended by ${evidence.tone.entry} ${end}: heard ${key.lowHz.toFixed(1)} + ${key.highHz.toFixed(1)} Hz, ${dbfs(level)}, decided ${took} after its onset.`;
  }
  if (completionReason === "maxSilenceTimeout" && last != null) {
    return `Ended by silence ${end}: the last speech was at ${seconds(last / rate, 3)}, ${seconds((frames - last) / rate, 3)} before; ${heard}.`;
  }
  if (completionReason === "maxRecordDurationReached") return `Ended by its length ${end}: ${message} ${heard[0].toUpperCase()}${heard.slice(1)}.`;
  return `Ended ${end}: ${message}`;
}
