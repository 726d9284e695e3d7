// @ts-check
// The list of jobs: fetched again while something in it moves, rarely else, never in a hidden tab; and what is done to several jobs.
import { enableActions, isMeant, perform, replaceParts } from "./live.js";
import { announce, ask, find, localise, showTrouble } from "./page.js";

const QUICK_MS = 2000;
const SLOW_MS = 15000;
/** @type {Record<string, string>} */
const DONE = { cancel: "stopped", retry: "run again", delete: "deleted" };

const live = /** @type {HTMLElement} */ (find("#live"));
/** @type {Set<string>} ids of chosen jobs */
const chosen = new Set();
let timer = 0;

/** Fetch the table and show it. */
async function refresh() {
  clearTimeout(timer);
  if (!document.hidden) {
    try {
      const answer = await ask(`${live.dataset.fragment}${location.search}`);
      replaceParts(live, await answer.text());
      showChosen();
      showTrouble("");
    } catch (error) {
      showTrouble(`${/** @type {Error} */ (error).message} The list is as it was; it is asked for again.`);
    }
  }
  timer = window.setTimeout(refresh, live.querySelector("[data-active]") ? QUICK_MS : SLOW_MS);
}

/** @returns {HTMLInputElement[]} */
const boxes = () => [...live.querySelectorAll("input[data-job]")].map((each) => /** @type {any} */ (each));

/** Tick the boxes of chosen jobs, and offer what can be done to them. */
function showChosen() {
  const here = boxes();
  for (const id of chosen) if (!here.some((box) => box.dataset.job === id)) chosen.delete(id);
  for (const box of here) box.checked = chosen.has(String(box.dataset.job));
  find("#bulk").hidden = !chosen.size;
  find("#selected").textContent = `${chosen.size} chosen`;
  for (const button of find("#bulk").querySelectorAll("button[data-all]")) button.disabled = !able(button.dataset.all).length;
  const all = find("#all-jobs");
  all.checked = chosen.size > 0 && chosen.size === here.length;
  all.indeterminate = chosen.size > 0 && !all.checked;
}

/** @param {string} action @returns {string[]} chosen jobs to which it can be done */
const able = (action) => [...chosen].filter((id) => live.querySelector(`button[data-act="${action}"][data-job="${id}"]:not(:disabled)`));

/** @param {string} action do it to the chosen jobs, one after the other */
async function doAll(action) {
  const jobs = able(action);
  if (!(await isMeant(action, jobs.length === 1 ? "This job" : `${jobs.length} jobs`))) return;
  const refused = [];
  for (const id of jobs) {
    try {
      await perform(action, id);
      chosen.delete(id);
    } catch (error) {
      refused.push(/** @type {Error} */ (error).message);
    }
  }
  await refresh();
  announce(`${jobs.length - refused.length} jobs ${DONE[action]}`);
  if (refused.length) showTrouble(`${refused.length} of ${jobs.length} not done. ${refused[0]}`);
}

localise();
enableActions(() => refresh());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
for (const box of document.querySelectorAll(".filter input[type=checkbox]")) {
  box.addEventListener("change", () => /** @type {HTMLFormElement} */ (find(".filter")).requestSubmit());
}
find(".filter").addEventListener("submit", () => {
  // an address without what is empty
  for (const each of document.querySelectorAll(".filter input[type=search]")) /** @type {any} */ (each).disabled = !(/** @type {any} */ (each).value);
});
document.addEventListener("change", ({ target }) => {
  if (!(target instanceof HTMLInputElement) || !target.matches("input[data-job], #all-jobs")) return;
  const meant = target.dataset.job ? [target] : boxes();
  for (const { dataset } of meant) chosen[target.checked ? "add" : "delete"](String(dataset.job));
  showChosen();
});
find("#bulk").addEventListener("click", (/** @type {MouseEvent} */ { target }) => {
  const { all } = /** @type {HTMLElement} */ (target).closest("button")?.dataset ?? {};
  if (all) doAll(all);
});
timer = window.setTimeout(refresh, live.querySelector("[data-active]") ? QUICK_MS : SLOW_MS);
