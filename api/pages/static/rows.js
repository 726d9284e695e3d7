// @ts-check
// A job's rows and decisions: read once, sorted and filtered here.
import { ask, Problem } from "./page.js";

/** @typedef {{ item: number, verdict: string | null, label: string | null, flagged: boolean, note: string, reviewer: string, revision: number }} Decision */
/** @typedef {{ sort: string, show: string, label: string, truth: string, note: string, decision: string, threshold: number }} View */

export class Rows {
  /** @param {string} job */
  constructor(job) {
    this.job = job;
    /** @type {number[]} */ this.item = [];
    /** @type {(number | null)[]} */ this.risk = [];
    /** @type {(number | null)[]} */ this.label = [];
    /** @type {(number | null)[]} */ this.margin = [];
    /** @type {(number | null)[]} */ this.truth = [];
    /** @type {number[]} */ this.notes = [];
    /** @type {string[]} */ this.malignant = [];
    /** @type {string[]} */ this.classes = [];
    /** @type {string[]} */ this.codes = [];
    /** @type {Map<number, Decision>} */ this.decisions = new Map();
  }

  /** Read all rows, a hundred thousand at a time, and all decisions. @param {() => void} progress */
  async load(progress) {
    const decided = ask(`/v1/jobs/${this.job}/decisions`).then((answer) => answer.json());
    for (let after = -1; after !== null; progress()) {
      const part = await (await ask(`/v1/jobs/${this.job}/overview?after=${after}`)).json();
      for (const key of /** @type {const} */ (["item", "risk", "label", "margin", "truth", "notes"])) {
        this[key] = /** @type {any} */ (this[key].length ? this[key].concat(part[key]) : part[key]);
      }
      [this.classes, this.codes, this.malignant] = [part.classes, part.note_codes, part.malignant];
      after = part.next;
    }
    for (const each of (await decided).data) this.decisions.set(each.item, each);
  }

  /** @param {number} at @returns {Decision | undefined} */
  decision(at) {
    return this.decisions.get(this.item[at]);
  }

  /** Positions of the rows that a view shows, in its order. @param {View} view @returns {Uint32Array} */
  choose(view) {
    const { risk, label, truth, notes, margin } = this;
    const wanted = view.label ? this.classes.indexOf(view.label) : -1;
    const meant = this.classes.indexOf(view.truth);
    const bit = view.note ? 1 << this.codes.indexOf(view.note) : 0;
    const found = new Uint32Array(this.item.length);
    let count = 0;
    for (let at = 0; at < this.item.length; at += 1) {
      const value = risk[at];
      if (view.show && view.show !== (value === null ? "failed" : value >= view.threshold ? "flagged" : "below")) continue;
      if ((view.label && label[at] !== wanted) || (bit && !(notes[at] & bit))) continue;
      if (view.truth && truth[at] !== meant) continue;
      if (view.decision && !fits(this.decision(at), view.decision)) continue;
      found[count++] = at;
    }
    const chosen = found.subarray(0, count);
    const keys = view.sort === "uncertain" ? margin : risk;
    const sign = view.sort === "risk" ? -1 : 1;
    // Items without a value, which failed, come last; equal ones as in the archive.
    const rank = (/** @type {number} */ at) => (keys[at] === null ? 2 : sign * /** @type {number} */ (keys[at]));
    return view.sort === "item" ? chosen : chosen.sort((a, b) => rank(a) - rank(b) || a - b);
  }

  /** How many risks reach a threshold. @param {number} threshold */
  flagged(threshold) {
    return this.risk.reduce((/** @type {number} */ sum, risk) => sum + Number(risk !== null && risk >= threshold), 0);
  }

  /** Sensitivity and specificity at a threshold; NaN without a truth. @param {number} threshold */
  measure(threshold) {
    const sick = this.classes.map((name) => this.malignant.includes(name));
    // benign below, over; malignant below, over
    const counts = [0, 0, 0, 0];
    this.truth.forEach((truth, at) => {
      const risk = this.risk[at];
      if (truth !== null && risk !== null) counts[2 * +sick[truth] + +(risk >= threshold)] += 1;
    });
    return [counts[3] / (counts[2] + counts[3]), counts[0] / (counts[0] + counts[1])];
  }

  /**
   * Save a decision; what somebody else has decided meanwhile is read, and reported as a Problem of status 409.
   * @param {number} item @param {Partial<Decision>} change @param {string} reviewer
   */
  async save(item, change, reviewer) {
    const before = this.decisions.get(item);
    const { verdict = null, label = null, flagged = false, note = "" } = { ...before, ...change };
    const body = { verdict, label: verdict === "relabel" ? label : null, flagged, note, reviewer, revision: before?.revision ?? 0 };
    const url = `/v1/jobs/${this.job}/items/${item}/decision`;
    try {
      const answer = await ask(url, { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      this.decisions.set(item, await answer.json());
    } catch (error) {
      if (error instanceof Problem && error.status === 409) this.decisions.set(item, await (await ask(url)).json());
      throw error;
    }
  }
}

/** @param {Decision | undefined} decision @param {string} wanted */
function fits(decision, wanted) {
  if (wanted === "marked") return Boolean(decision?.flagged);
  return wanted === "open" ? !decision?.verdict : decision?.verdict === wanted;
}
