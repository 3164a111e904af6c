// Starting a recording: every property of a request as a field, and beside them the JSON and the curl of it.

import { post } from "./daemon.js";
import { at, make } from "./page.js";

/** What a request can say, in the order of the form. `hint` stands below the field. */
const FIELDS = [
  { name: "clientContext", label: "Context", kind: "text", hint: "Any words; they come back everywhere.", maxlength: 256 },
  { name: "stopTones", label: "Stop tones", kind: "keys", hint: "Keys or sequences that end it: # 11 *" },
  { name: "initialSilenceTimeoutInSeconds", label: "Initial silence", kind: "seconds", hint: "With no speech for so long, it fails." },
  { name: "maxSilenceTimeoutInSeconds", label: "Silence after speech", kind: "seconds", hint: "With no speech for so long after speech, it is complete." },
  { name: "maxRecordDurationInSeconds", label: "Greatest length", kind: "seconds", hint: "So long at the most." },
  { name: "recordingFormat", label: "Format", kind: "choice" },
  { name: "playBeep", label: "Beep before it", kind: "check", usual: true },
  { name: "streamWhileRecording", label: "Location and token while it grows", kind: "check", usual: false },
  { name: "bargeInAllowed", label: "Goes ahead of others; speech and keys end its prompts", kind: "check", usual: false },
];

const inputs = new Map();
let line = null;
let prompts = null;
let [json, curl, said] = [];

function field(spec, schema) {
  const id = `ask-${spec.name}`;
  const about = `${id}-about`;
  const common = { id, name: spec.name, "aria-describedby": spec.hint ? about : null };
  let input;
  if (spec.kind === "check") input = make("input", { ...common, type: "checkbox", checked: spec.usual });
  else if (spec.kind === "choice") input = make("select", common, ...schema.enum.filter(Boolean).map((value) => make("option", { value }, value)));
  else if (spec.kind === "seconds") input = make("input", { ...common, type: "number", min: schema.minimum, max: schema.maximum, placeholder: schema.default });
  else input = make("input", { ...common, type: "text", maxlength: spec.maxlength, autocomplete: "off", spellcheck: "false" });
  inputs.set(spec.name, input);
  const label = make("label", { for: id }, spec.label);
  const range = spec.kind === "seconds" ? ` ${schema.minimum} to ${schema.maximum} s; ${schema.default} if empty.` : "";
  const hint = spec.hint ? make("small", { id: about }, spec.hint + range) : null;
  return spec.kind === "check" ? make("div", { class: "field check" }, input, " ", label) : make("div", { class: "field" }, label, input, hint);
}

function promptRow() {
  const input = (label, properties) => make("input", { "aria-label": label, ...properties });
  const drop = make("button", { type: "button", onclick: () => { entry.remove(); show(); } }, "Remove");
  const entry = make("div", { class: "prompt" },
    input("Address of the prompt", { name: "uri", placeholder: "file:hello.wav" }),
    input("Name in the cache", { name: "resourceId", placeholder: "resourceId" }),
    input("Number of plays", { name: "loop", type: "number", min: 0, placeholder: "1" }), drop);
  return entry;
}

/** The request as it is filled in; what is left as it is usual is left out. */
function request() {
  const asked = {};
  const all = [...prompts.querySelectorAll(".prompt")].map((entry) => {
    const of = (name) => entry.querySelector(`[name=${name}]`).value;
    const mediaInfo = { uri: of("uri"), ...(of("resourceId") && { resourceId: of("resourceId") }) };
    return { "@odata.type": "#microsoft.graph.mediaPrompt", mediaInfo, ...(of("loop") && { loop: Number(of("loop")) }) };
  });
  if (all.length) asked.prompts = all;
  for (const { name, kind, usual } of FIELDS) {
    const input = inputs.get(name);
    if (kind === "check") {
      if (input.checked !== usual) asked[name] = input.checked;
    } else if (kind === "keys") {
      const keys = input.value.split(/[\s,]+/).filter(Boolean);
      if (keys.length) asked[name] = keys;
    } else if (kind === "choice") {
      if (input.selectedIndex > 0) asked[name] = input.value;
    } else if (input.value) asked[name] = kind === "seconds" ? Number(input.value) : input.value;
  }
  return asked;
}

const path = () => `/app/calls/${line.value}/record`;

function show() {
  const asked = request();
  json.textContent = JSON.stringify(asked, null, 2);
  const quoted = JSON.stringify(asked).replaceAll("'", "'\\''");
  curl.textContent = `curl -X POST -H "Authorization: Bearer $TOKEN" \\\n  -H 'Content-Type: application/json' \\\n  -d '${quoted}' \\\n  ${location.origin}${path()}`;
}

function copying(text, of) {
  const button = make("button", { type: "button", "aria-label": `Copy the ${of}`, onclick: async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text);
      button.textContent = "Selected; copy it with the keyboard";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  } }, "Copy");
  return make("h3", { class: "row" }, of, button);
}

/** Makes the form; the limits are those of the daemon's schema. `begun` is called when a recording was taken on. */
export function startForm(lines, { properties }, begun) {
  line = make("select", { id: "ask-line" }, ...lines.map(({ name }) => make("option", { value: name }, name)));
  prompts = make("div", { class: "field wide" });
  const add = make("button", { type: "button", onclick: () => { prompts.append(promptRow()); show(); } }, "Add a prompt");
  prompts.append(make("div", { class: "row" }, make("b", {}, "Prompts"), add));
  [json, curl, said] = [make("pre", { tabindex: 0, "aria-label": "JSON" }), make("pre", { tabindex: 0, "aria-label": "curl" }), make("p", { role: "status" })];
  const fields = make("div", { class: "fields" },
    make("div", { class: "field" }, make("label", { for: "ask-line" }, "Line"), line), ...FIELDS.map((spec) => field(spec, properties[spec.name])), prompts);
  const form = make("form", { class: "form", novalidate: true },
    make("div", {}, fields, make("p", {}, make("button", { class: "main" }, "Record")), said),
    make("aside", { "aria-label": "The request" }, copying(json, "JSON"), json, copying(curl, "curl"), curl));
  form.oninput = show;
  form.onsubmit = async (event) => {
    event.preventDefault();
    [said.textContent, said.className] = ["", ""];
    for (const input of inputs.values()) input.removeAttribute("aria-invalid");
    try {
      await post(path(), request());
      said.textContent = "It was taken on.";
      begun();
    } catch (error) {
      [said.textContent, said.className] = [`It was not taken on: ${error.message}. Nothing was recorded.`, "bad"];
      const wrong = inputs.get(error.target?.split(/[.[]/)[0]);
      wrong?.setAttribute("aria-invalid", "true");
      wrong?.focus();
    }
  };
  at("form").replaceChildren(form);
  show();
}

/** Opens the form for a line. */
export function openForm(name) {
  at("record").open = true;
  line.value = name;
  show();
  inputs.get("clientContext").focus();
}
