// @ts-check
// What all pages share: requests to the API, announcements, the question before a deletion, the browser's locale, and what it keeps.

/** A problem document (RFC 9457), or the lack of an answer, as an error. */
export class Problem extends Error {
  /** @param {string} message @param {number} status @param {any} body */
  constructor(message, status = 0, body = {}) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/**
 * Find an element that the page must have.
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {any}
 */
export function find(selector, root = document) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return found;
}

// these modules lie in /static/ below DermQ's own root, which a proxy may have put below a path of its host
const ROOT = new URL("..", import.meta.url).pathname;

/** An address of DermQ's as the browser must ask for it. @param {string} path from DermQ's own root @returns {string} */
export const below = (path) => path.replace(/^\/(?!\/)/, ROOT);

/**
 * Ask the server; an answer that is none of 2xx becomes a Problem.
 * @param {string} url
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
export async function ask(url, options) {
  let response;
  try {
    response = await fetch(below(url), options);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem("The server does not answer.");
  }
  if (response.ok) return response;
  throw problemOf(response.status, await response.text());
}

/** @param {number} status none of 2xx @param {string} text a page or nothing, too: the status says enough then */
function problemOf(status, text) {
  const body = parse(text);
  return new Problem(body.detail || `The server answered ${status}.`, status, body);
}

/** @param {string} text @returns {any} an empty object where it is no JSON */
export function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/**
 * Send bytes with progress, which fetch() does not tell; an answer that is none of 2xx becomes a Problem.
 * @param {XMLHttpRequest} request new: who has it can abort it
 * @param {string} method
 * @param {string} url
 * @param {{ headers: Record<string, string>, body: Blob | ArrayBuffer, progress: (event: ProgressEvent) => void }} what
 * @returns {Promise<void>}
 */
export function sendBytes(request, method, url, { headers, body, progress }) {
  request.upload.addEventListener("progress", progress);
  request.open(method, below(url));
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  return new Promise((resolve, reject) => {
    request.addEventListener("load", () => (request.status < 300 ? resolve() : reject(problemOf(request.status, request.responseText))));
    request.addEventListener("error", () => reject(new Problem("The connection was lost.")));
    request.addEventListener("abort", () => reject(new Problem("You stopped it.")));
    request.send(body);
  });
}

/** Options of a request that sends JSON. @param {string} method @param {any} value @param {Record<string, string>} [headers] further ones */
export const asJson = (method, value, headers = {}) => ({ method, headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(value) });

/** Words between commas. @param {string} text @returns {string[]} */
export const words = (text) => text.split(",").map((each) => each.trim()).filter(Boolean);

/** By what a request that is sent again is known. @returns {string} */
export const newKey = () => crypto.randomUUID?.() ?? String(Math.random());

/** What the browser keeps under a name. @param {string} name @returns {Record<string, any>} empty where there is nothing, or no JSON */
export function stored(name) {
  try {
    return JSON.parse(localStorage.getItem(name) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

// how long a text stays before the next one takes its place
const SAID_MS = 1000;
// how many texts may wait; of more, the older ones are no news by the time that they could be said
const MOST_UNSAID = 3;
/** @type {string[]} */
const unsaid = [];
let saying = false;

/**
 * Say something to who cannot see that it has changed. Texts that come close together are said one after the other: one that
 * another replaces at once may never be read out.
 * @param {string} text
 */
export function announce(text) {
  unsaid.push(text);
  if (unsaid.length > MOST_UNSAID) unsaid.shift();
  if (!saying) sayNext();
}

/** Say the oldest text that was not said yet. */
function sayNext() {
  const text = unsaid.shift();
  saying = text !== undefined;
  if (text === undefined) return;
  find("#announcer").textContent = text;
  setTimeout(sayNext, SAID_MS);
}

/**
 * Show or hide the page's one line about trouble.
 * @param {string} text empty: there is none
 */
export function showTrouble(text) {
  const line = find("#trouble");
  line.textContent = text;
  line.hidden = !text;
  if (text) announce(text);
}

const WHOLE = new Intl.NumberFormat();
const INSTANT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/**
 * Show numbers and times as the browser's locale has them.
 * @param {ParentNode} [root]
 */
export function localise(root = document) {
  for (const each of root.querySelectorAll("data.number")) {
    each.textContent = WHOLE.format(Number(/** @type {HTMLDataElement} */ (each).value));
  }
  for (const each of root.querySelectorAll("time[datetime]")) {
    each.textContent = INSTANT.format(new Date(/** @type {HTMLTimeElement} */ (each).dateTime));
  }
}

/**
 * Ask a question in the page's dialog.
 * @param {string} title
 * @param {string} text
 * @param {string} yes what the button says
 * @returns {Promise<boolean>}
 */
export function confirmed(title, text, yes) {
  const dialog = /** @type {HTMLDialogElement} */ (find("#confirm"));
  find("#confirm-title").textContent = title;
  find("#confirm-text").textContent = text;
  find("button[value=yes]", dialog).textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
