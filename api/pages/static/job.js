// @ts-check
// One job: server-sent events say that it has changed, the fragment says how. Without events it is asked for.
import { enableActions, replaceParts } from "./live.js";
import { announce, asJson, ask, below, find, localise, showTrouble, words, Problem } from "./page.js";

// between two looks, however many events come
const PAUSE_MS = 700;
// without events
const POLL_MS = 2000;
// with events, which may be held back on their way
const CARE_MS = 10000;

const live = /** @type {HTMLElement} */ (find("#live"));
/** @type {EventSource | null} */
let events = null;
let timer = 0;
let busy = false;
let again = false;
let said = "";

/** @returns {DOMStringMap} what the fragment says of the job */
function shown() {
  return find("#job-overview").dataset;
}

/** Fetch the fragment; changes that come meanwhile are fetched after a pause. */
async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    const answer = await ask(String(live.dataset.fragment));
    replaceParts(live, await answer.text());
    showTrouble("");
    speak();
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return leave();
    showTrouble(`${/** @type {Error} */ (error).message} What you see is as it was; it is asked for again.`);
  }
  setTimeout(() => {
    busy = false;
    if (again) {
      again = false;
      refresh();
    }
  }, PAUSE_MS);
  plan();
}

/** Look again after a while, until the job is over. */
function plan() {
  clearTimeout(timer);
  if (shown().over === "true") {
    events?.close();
    events = null;
    return;
  }
  if (!events) follow();
  timer = window.setTimeout(refresh, events?.readyState === EventSource.OPEN ? CARE_MS : POLL_MS);
}

/** Listen to the job's events. The browser connects again by itself. */
function follow() {
  events = new EventSource(below(String(live.dataset.events)));
  events.addEventListener("job", () => refresh());
  events.addEventListener("error", () => {
    if (events?.readyState === EventSource.CLOSED) events = null;
    clearTimeout(timer);
    timer = window.setTimeout(refresh, POLL_MS);
  });
}

/** Tell a screen reader of states and of each tenth, not of each picture. */
function speak() {
  const { state, done, total } = shown();
  const tenth = Number(total) ? Math.floor((10 * Number(done)) / Number(total)) * 10 : 0;
  const text = `${live.dataset.name}: ${state}, ${tenth} %`;
  if (text !== said) announce(text);
  said = text;
}

/** The job is gone. */
function leave() {
  location.assign(below("/jobs"));
}

/** Put the words of the field on the job. @param {Event} event */
async function tag(event) {
  event.preventDefault();
  const tags = words(find("#tags").value);
  const { job } = find("#tagging").dataset;
  try {
    await ask(`/v1/jobs/${job}/tags`, asJson("PUT", { tags }));
    announce(`Saved: ${tags.length} tags`);
  } catch (error) {
    showTrouble(/** @type {Error} */ (error).message);
  }
}

localise();
find("#tagging").addEventListener("submit", tag);
enableActions((action) => (action === "delete" ? leave() : refresh()));
plan();
