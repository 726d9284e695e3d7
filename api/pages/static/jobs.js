// @ts-check
// The list of jobs: fetched again while something in it moves, rarely else, never in a hidden tab.
import { enableActions, replaceParts } from "./live.js";
import { ask, find, localise, showTrouble } from "./page.js";

const QUICK_MS = 2000;
const SLOW_MS = 15000;

const live = /** @type {HTMLElement} */ (find("#live"));
let timer = 0;

/** Fetch the table and show it. */
async function refresh() {
  clearTimeout(timer);
  if (!document.hidden) {
    try {
      const answer = await ask(`${live.dataset.fragment}${location.search}`);
      replaceParts(live, await answer.text());
      showTrouble("");
    } catch (error) {
      showTrouble(`${/** @type {Error} */ (error).message} The list is as it was; it is asked for again.`);
    }
  }
  timer = window.setTimeout(refresh, live.querySelector("[data-active]") ? QUICK_MS : SLOW_MS);
}

localise();
enableActions(() => refresh());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
for (const box of document.querySelectorAll(".filter input")) {
  box.addEventListener("change", () => /** @type {HTMLFormElement} */ (find(".filter")).requestSubmit());
}
timer = window.setTimeout(refresh, live.querySelector("[data-active]") ? QUICK_MS : SLOW_MS);
