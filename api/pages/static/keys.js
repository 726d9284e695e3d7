// @ts-check
// Which key does what in the review: the page's list, as the reader has changed it. Kept in the browser.
import { announce, find, stored } from "./page.js";

const STORED = "dermq-keys";

/** @type {HTMLButtonElement[]} one for each action, which says its key */
const buttons = [...document.querySelectorAll("#help button[data-action]")].map((each) => /** @type {any} */ (each));
/** @type {Map<string, string>} action by key */
let actions = new Map();
/** @type {HTMLButtonElement | null} the one whose key is asked for */
let asked = null;

/** @param {KeyboardEvent} event @returns {string | undefined} what a key does */
export const actionOf = (event) => actions.get(keyOf(event));

/** @param {KeyboardEvent} event @returns {string} letters without their case */
const keyOf = (event) => (event.key.length === 1 ? event.key.toLowerCase() : event.key);

/** @param {string} key @returns {string} */
const nameOf = (key) => (key === " " ? "Space" : key.toUpperCase());

/** Read the list, and write the keys wherever the page names them. */
function show() {
  // key by action
  const changed = stored(STORED);
  actions = new Map(buttons.map(({ dataset }) => [changed[dataset.action ?? ""] ?? String(dataset.usual), String(dataset.action)]));
  for (const [key, action] of actions) {
    for (const each of document.querySelectorAll(`kbd[data-of="${action}"]`)) each.textContent = nameOf(key);
  }
}

/** @param {KeyboardEvent} event a key for the action whose button was pressed */
function take(event) {
  if (!asked || ["Shift", "Tab"].includes(event.key)) return;
  event.preventDefault();
  event.stopPropagation();
  const [button, key] = [asked, keyOf(event)];
  asked = null;
  button.classList.remove("asked");
  const other = actions.get(key);
  const free = key.length === 1 && (!other || other === button.dataset.action);
  if (free) localStorage.setItem(STORED, JSON.stringify({ ...stored(STORED), [String(button.dataset.action)]: key }));
  const used = other ? `${nameOf(key)} does something else already` : `${nameOf(key)} cannot be chosen`;
  say(free ? `${nameOf(key)} it is` : event.key === "Escape" ? "" : used);
  show();
}

/** @param {string} text */
function say(text) {
  find("#help-said").textContent = text;
  announce(text);
}

for (const button of buttons) {
  button.addEventListener("click", () => {
    buttons.forEach((each) => each.classList.remove("asked"));
    asked = button;
    button.classList.add("asked");
    say("Press the new key. Escape leaves it.");
  });
}
find("#help").addEventListener("keydown", take, { capture: true });
find("#help").addEventListener("cancel", (/** @type {Event} */ event) => asked && event.preventDefault());
find("#usual-keys").addEventListener("click", () => {
  localStorage.removeItem(STORED);
  say("All keys are as they were");
  show();
});
show();
