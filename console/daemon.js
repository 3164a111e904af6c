// Talking to the daemon: the token, requests, events.

const KEY = "tonearm.token";
const PAUSE = { first: 500, longest: 8000 };
let token = sessionStorage.getItem(KEY);
let refused = () => {};

export const hasToken = () => token !== null;
/** Called when the daemon does not take the token. */
export const onRefused = (then) => { refused = then; };

export function useToken(value) {
  token = value;
  if (value === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, value);
}

/** What the daemon does not do, in its own words. */
export class Refused extends Error {
  constructor(status, { message, target } = {}) {
    super(message || `the daemon answered ${status}`);
    this.status = status;
    this.target = target;
  }
}

async function send(path, options = {}) {
  const headers = { ...options.headers };
  if (token !== null) headers.authorization = `Bearer ${token}`;
  const used = token;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { message: "the daemon cannot be reached; what it records goes on if it runs" });
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 401 && used === token) refused();
  throw new Refused(answer.status, body.error);
}

export const get = async (path) => (await send(path)).json();
export const remove = (path) => send(path, { method: "DELETE" });
export async function post(path, body = {}) {
  const answer = await send(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  return answer.status === 204 ? null : answer.json();
}
/** Bytes of a recording, all or `[first, last]`. */
export async function bytes(path, range) {
  const headers = range ? { range: `bytes=${range[0]}-${range[1]}` } : {};
  return (await send(path, { headers })).blob();
}

/** Follows `/events` for ever: `told(name, data)` for each, `state(connected)` when that changes. */
export async function follow(told, state) {
  for (let pause = PAUSE.first; ; pause = Math.min(pause * 2, PAUSE.longest)) {
    if (hasToken()) {
      try {
        const reader = (await send("/events")).body.pipeThrough(new TextDecoderStream()).getReader();
        state(true);
        pause = PAUSE.first;
        let rest = "";
        for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
          const events = (rest + piece.value).split("\n\n");
          rest = events.pop();
          for (const event of events) {
            const lines = event.split("\n");
            const of = (field) => lines.find((line) => line.startsWith(`${field}: `))?.slice(field.length + 2);
            if (of("event")) told(of("event"), JSON.parse(of("data")));
          }
        }
      } catch (error) {
        if (!(error instanceof Refused) && !(error instanceof TypeError)) console.error(error);
      }
      state(false);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
