// Making elements. Text is only ever text: contexts, subjects and errors come from others.

/** An element: `make("p", {class: "bad", onclick}, "words", child)`. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export const at = (id) => document.getElementById(id);

/** A term and what it says, for a list of facts; nothing where there is nothing to say. */
export const fact = (term, ...words) => (words[0] == null ? [] : [make("dt", {}, term), make("dd", {}, ...words)]);

/** Says what went wrong until it is dismissed; without words, nothing is wrong any more. */
export function complain(words) {
  const close = make("button", { type: "button", onclick: () => at("alert").replaceChildren() }, "Dismiss");
  at("alert").replaceChildren(...(words ? [make("span", {}, words), close] : []));
}

/** Does something and complains if it fails; what was to be done begins the sentence. */
export async function attempt(doing, work) {
  try {
    return await work();
  } catch (error) {
    if (error.status !== 401) complain(`${doing} failed: ${error.message}`);
    return undefined;
  }
}

/** A colour of the page's, for drawing. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
