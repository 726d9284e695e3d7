// @ts-check
// A job's rows and decisions: read once, sorted and filtered here.
import { asJson, ask } from "./page.js";

/** @typedef {{ item: number, verdict: string | null, label: string | null, flagged: boolean, note: string, reviewer: string, revision: number, at: string }} Decision */
/** @typedef {{ item: number, first: Decision, second: Decision }} Pair */
/** @typedef {{ sort: string, show: string, label: string, truth: string, note: string, decision: string, threshold: number, read: string, name: string, by: string, group: string }} View */

const ALIKE = "near duplicates";
// decisions in a request
const SLICE = 500;
// what is written at the same time by servers whose clocks differ
const OVERLAP_MS = 10000;

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
    /** @type {Map<number, Pair>} where two readers differ */ this.pairs = new Map();
    this.twice = 0;
    this.read = "";
    /** @type {Map<number, number>} group by item */ this.group = new Map();
    /** @type {string[]} */ this.values = [];
    this.by = "";
    /** @type {Set<number>} items with the name that is looked for */ this.named = new Set();
    this.name = "";
  }

  /** @param {string} path @param {RequestInit} [options] @returns {Promise<any>} */
  async get(path, options) {
    return (await ask(`/v1/jobs/${this.job}/${path}`, options)).json();
  }

  /** Read all rows, a hundred thousand at a time. @param {() => void} progress */
  async load(progress) {
    for (let after = -1; after !== null; progress()) {
      const part = await this.get(`overview?after=${after}`);
      for (const key of /** @type {const} */ (["item", "risk", "label", "margin", "truth", "notes"])) {
        this[key] = /** @type {any} */ (this[key].length ? this[key].concat(part[key]) : part[key]);
      }
      [this.classes, this.codes, this.malignant] = [part.classes, part.note_codes, part.malignant];
      after = part.next;
    }
  }

  /** Ask for what a view needs besides the rows, where it is not there yet. @param {View} view */
  async prepare(view) {
    await Promise.all([this.gather(view.by), this.search(view.name), this.readAs(view.read)]);
  }

  /** @param {string} by column, or near duplicates */
  async gather(by) {
    if (by === this.by) return;
    const query = by === ALIKE ? "" : `?by=${encodeURIComponent(by)}`;
    const found = by ? await this.get(`members${query}`) : { item: [], group: [], values: [] };
    this.group = new Map(found.item.map((/** @type {number} */ item, /** @type {number} */ at) => [item, found.group[at]]));
    [this.by, this.values] = [by, found.values];
  }

  /** @param {string} name */
  async search(name) {
    if (name && name !== this.name) this.named = new Set((await this.get(`matches?name=${encodeURIComponent(name)}`)).item);
    this.name = name;
  }

  /** Take the decisions of one read. @param {string} read 1, 2, or 3, for which those that differ are needed */
  async readAs(read) {
    if (read === this.read) return;
    const [found, pairs] = await Promise.all([this.get(`decisions?read=${read}`), read === "3" ? this.get("disagreements") : { data: [], read_twice: 0 }]);
    this.decisions = new Map(found.data.map((/** @type {Decision} */ each) => [each.item, each]));
    this.pairs = new Map(pairs.data.map((/** @type {Pair} */ each) => [each.item, each]));
    [this.twice, this.read] = [pairs.read_twice, read];
  }

  /** What was decided since the last one that is known here. @returns {Promise<Decision[]>} */
  async hear() {
    const { read } = this;
    if (!read) return [];
    const last = [...this.decisions.values()].reduce((latest, each) => Math.max(latest, Date.parse(each.at)), OVERLAP_MS);
    const found = await this.get(`decisions?read=${read}&since=${new Date(last - OVERLAP_MS).toISOString()}`);
    return read === this.read ? this.keep(found.data) : [];
  }

  /** @param {Decision[]} decisions @returns {Decision[]} those that were not known */
  keep(decisions) {
    const fresh = decisions.filter((each) => each.revision > (this.decisions.get(each.item)?.revision ?? 0));
    for (const each of fresh) this.decisions.set(each.item, each);
    return fresh;
  }

  /** @param {number} at @returns {Decision | undefined} */
  decision(at) {
    return this.decisions.get(this.item[at]);
  }

  /** @param {number} at @returns {string} the value of the row's group */
  groupOf(at) {
    return this.values[this.group.get(this.item[at]) ?? -1] ?? "";
  }

  /** What a row must be for a view to show it. @param {View} view @returns {((at: number) => boolean)[]} */
  tests(view) {
    const { risk, label, truth, notes, classes, item, group } = this;
    const tests = [];
    const [wanted, meant, bit] = [classes.indexOf(view.label), classes.indexOf(view.truth), 1 << this.codes.indexOf(view.note)];
    if (view.show) tests.push((/** @type {number} */ at) => view.show === kind(risk[at], view.threshold));
    if (view.label) tests.push((/** @type {number} */ at) => label[at] === wanted);
    if (view.truth) tests.push((/** @type {number} */ at) => truth[at] === meant);
    if (view.note) tests.push((/** @type {number} */ at) => Boolean(notes[at] & bit));
    if (view.decision) tests.push((/** @type {number} */ at) => fits(this.decision(at), this.pairs.has(item[at]), view.decision));
    if (view.name) tests.push((/** @type {number} */ at) => this.named.has(item[at]));
    if (view.by === ALIKE) tests.push((/** @type {number} */ at) => group.has(item[at]));
    if (view.by && view.group) {
      const near = this.values.map((value) => value.toLowerCase().includes(view.group.toLowerCase()));
      tests.push((/** @type {number} */ at) => near[group.get(item[at]) ?? -1] ?? false);
    }
    return tests;
  }

  /** Positions of the rows that a view shows, in its order. @param {View} view @returns {Uint32Array} */
  choose(view) {
    const tests = this.tests(view);
    const found = new Uint32Array(this.item.length);
    let count = 0;
    for (let at = 0; at < this.item.length; at += 1) if (tests.every((test) => test(at))) found[count++] = at;
    const chosen = found.subarray(0, count);
    if (view.sort === "item" && !view.by) return chosen;
    // Items without a value, which failed, come last; equal ones as in the archive. Groups stay together.
    const keys = view.sort === "uncertain" ? this.margin : this.risk;
    const sign = view.sort === "risk" ? -1 : 1;
    const ranks = this.item.map((_, at) => (view.sort === "item" ? at : keys[at] === null ? 2 : sign * /** @type {number} */ (keys[at])));
    const places = view.by ? this.item.map((item) => this.group.get(item) ?? this.values.length) : null;
    return chosen.sort((a, b) => (places ? places[a] - places[b] : 0) || ranks[a] - ranks[b] || a - b);
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
   * Save decisions. What others have decided meanwhile is left as it is, and taken into the rows.
   * @param {Map<number, Partial<Decision>>} changes by item
   * @param {string} reviewer
   * @returns {Promise<{ saved: Decision[], conflicts: { item: number, detail: string, present: Decision | null }[] }>}
   */
  async save(changes, reviewer) {
    const wanted = [...changes].map(([item, change]) => {
      const { verdict = null, label = null, flagged = false, note = "", revision = 0 } = { ...this.decisions.get(item), ...change };
      return { item, verdict, label: verdict === "relabel" ? label : null, flagged, note, reviewer, revision };
    });
    const saved = [];
    const conflicts = [];
    for (let first = 0; first < wanted.length; first += SLICE) {
      const decisions = wanted.slice(first, first + SLICE);
      const part = await this.get(`decisions?read=${this.read}`, asJson("POST", { decisions }));
      saved.push(...this.keep(part.saved));
      conflicts.push(...part.conflicts);
    }
    this.keep(conflicts.flatMap(({ present }) => present ?? []));
    return { saved, conflicts };
  }
}

/** @param {number | null} risk @param {number} threshold */
const kind = (risk, threshold) => (risk === null ? "failed" : risk >= threshold ? "flagged" : "below");

/** @param {Decision | undefined} decision @param {boolean} differs @param {string} wanted */
function fits(decision, differs, wanted) {
  if (wanted === "differ") return differs && !decision?.verdict;
  if (wanted === "marked") return Boolean(decision?.flagged);
  return wanted === "open" ? !decision?.verdict : decision?.verdict === wanted;
}
