// Notifications that were given up, and sending them again.

import { get, post } from "./daemon.js";
import { at, attempt, make } from "./page.js";

/** Reads and shows them. */
export async function loadNotifications() {
  const { value } = await get("/notifications?state=undeliverable&$top=200");
  if (!value.length) {
    at("undelivered").replaceChildren(make("p", { class: "quiet" }, "All were delivered, or are still being tried."));
    return;
  }
  const head = ["About", "To", "Attempts", "Last error", ""].map((words) => make("th", { scope: "col" }, words));
  at("undelivered").replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...value.map(row))));
}

function row(delivery) {
  const { changeType, resource } = delivery.notification?.value?.[0] ?? {};
  const again = make("button", { type: "button", "aria-label": `Send ${delivery.id} again`, onclick: async () => {
    again.disabled = true;
    await attempt("Sending again", () => post(`/notifications/${delivery.id}/repeat`));
    await attempt("Reading the notifications", loadNotifications);
  } }, "Repeat");
  const cells = [`${changeType ?? ""} ${resource ?? delivery.id}`, delivery.callbackUri, String(delivery.attempts), delivery.lastError ?? "", again];
  return make("tr", {}, ...cells.map((cell) => make("td", {}, cell)));
}
