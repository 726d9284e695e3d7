// @ts-check
// Other readers of the same job: who is here, and what they have decided meanwhile.
import { announce, asJson, ask, find } from "./page.js";

const EVERY_MS = 5000;

/** @typedef {import("./rows.js").Rows} Rows */

/**
 * Look again and again, never in a hidden tab. What fails is asked for again.
 * @param {Rows} rows
 * @param {() => string} name who reads here; empty: nobody has said
 * @param {(items: number[]) => void} changed pictures that were decided elsewhere
 */
export function watch(rows, name, changed) {
  const look = async () => {
    if (!document.hidden) await Promise.allSettled([meet(rows.job, name()), hear(rows, name(), changed)]);
    setTimeout(look, EVERY_MS);
  };
  look();
}

/** @param {string} job @param {string} name */
async function meet(job, name) {
  if (!name) return;
  const answer = await ask(`/v1/jobs/${job}/reviewers`, asJson("POST", { reviewer: name }));
  const others = (await answer.json()).data.map((/** @type {any} */ each) => each.reviewer).filter((/** @type {string} */ each) => each !== name);
  find("#others").textContent = others.length ? `Also here: ${others.join(", ")}` : "";
}

/** @param {Rows} rows @param {string} name @param {(items: number[]) => void} changed */
async function hear(rows, name, changed) {
  const all = await rows.hear();
  if (all.length) changed(all.map((each) => each.item));
  const found = all.filter((each) => each.reviewer !== name);
  if (!found.length) return;
  const last = found[found.length - 1];
  announce(found.length === 1 ? `${last.reviewer} has decided about picture ${last.item + 1}` : `Others have decided about ${found.length} pictures`);
}
