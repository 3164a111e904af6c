// The console: which view is seen, who has come in, and what goes where.

import { follow, get, hasToken, onRefused, useToken } from "./daemon.js";
import { openDetails } from "./details.js";
import { openForm, startForm } from "./form.js";
import { showKey, showLevels, showLines, showReady } from "./lines.js";
import { loadNotifications } from "./notifications.js";
import { forget, load, loadRunning, showList, showOperation, showProgress, startList } from "./operations.js";
import { at, attempt, complain } from "./page.js";
import { size } from "./words.js";

const VIEWS = ["now", "recordings", "notifications"];
const HEALTH_EVERY_MS = 10_000;
let connected = false;

function show() {
  const view = VIEWS.find((name) => location.hash === `#${name}`) ?? VIEWS[0];
  for (const name of VIEWS) at(name).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === "recordings") showList();
  if (view === "notifications" && hasToken()) attempt("Reading the notifications", loadNotifications);
}

/** Whether the daemon is there, its lines are ready, and there is space. */
async function showHealth() {
  if (!connected) {
    at("health").textContent = hasToken() ? "The daemon cannot be reached; trying again …" : "Not signed in";
    at("health").className = "bad";
    return;
  }
  // Not ready is an answer, too.
  const ready = await fetch("/readyz").then((answer) => answer.json()).catch(() => null);
  const space = await get("/space").catch(() => null);
  if (!ready || !space) return;
  showReady(ready.lines);
  const silent = ready.lines.filter((line) => !line.ready).length;
  const little = space.freeBytes < space.reserveBytes;
  const lines = silent ? `${silent} of ${ready.lines.length} lines not ready` : "all lines ready";
  at("health").textContent = `Connected · ${lines} · ${size(space.freeBytes)} free${little ? ": too little, nothing more is taken on" : ""}`;
  at("health").className = silent || little ? "bad" : "";
}

/** Shows all anew: at first, and after the connection was lost. */
async function start() {
  const [lines, schema] = await Promise.all([get("/lines"), get("/openapi.json")]);
  showLines(lines.value, openForm);
  if (!at("form").firstChild) {
    startForm(lines.value, schema.components.schemas.recordRequest, () => at("running").scrollIntoView({ block: "nearest" }));
    startList(lines.value, openDetails);
  }
  await Promise.all([loadRunning(openDetails), load()]);
  complain("");
  await showHealth();
}

const TOLD = {
  levels: showLevels,
  key: showKey,
  progress: showProgress,
  operation: (seen) => showOperation(seen, openDetails),
  gone: forget,
  missed: () => attempt("Reading what was missed", start),
};

/** Asks for the token; `why` says what was wrong with the last one. */
function ask(why = "") {
  const dialog = at("ask");
  at("ask-error").textContent = why;
  at("leave").hidden = true;
  if (!dialog.open) dialog.showModal();
}

at("ask").addEventListener("cancel", (event) => event.preventDefault());
at("ask").querySelector("form").addEventListener("submit", () => {
  useToken(at("token").value.trim());
  at("token").value = "";
  at("leave").hidden = false;
});
at("leave").addEventListener("click", () => {
  useToken(null);
  location.reload();
});
onRefused(() => {
  useToken(null);
  ask("The daemon does not know this token. Look at where it was shown, or at token_sha256 in the configuration.");
});
window.addEventListener("hashchange", show);
show();
if (hasToken()) at("leave").hidden = false;
else ask();
setInterval(showHealth, HEALTH_EVERY_MS);
follow((name, data) => TOLD[name]?.(data), (state) => {
  connected = state;
  if (state) attempt("Reading the state of the daemon", start);
  else showHealth();
});
