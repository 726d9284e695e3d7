// @ts-check
// Review: the view in the address, the keys, and what the reader decides.
import { announce, ask, below, confirmed, find, localise, showTrouble } from "./page.js";
import { Grid } from "./grid.js";
import { actionOf } from "./keys.js";
import { watch } from "./others.js";
import { Rows } from "./rows.js";
import "./saliency.js";

/** @typedef {import("./rows.js").View} View */
/** @typedef {import("./rows.js").Decision} Decision */

const MANY = 50; // pictures; more are asked about first
const job = String(find("#review").dataset.job);
const form = /** @type {HTMLFormElement} */ (find("#view"));
const reviewer = /** @type {HTMLInputElement} */ (find("#reviewer"));
const detail = /** @type {HTMLDialogElement} */ (find("#detail"));
const rows = new Rows(job);
const grid = new Grid(find("#scroller"), find("#grid"), job, draw, (at) => rows.item[at]);
/** @type {Map<number, Partial<Decision>>[]} what was there before each change, by item */
const done = [];
/** @type {Set<number>} chosen rows; empty: the focused one alone is meant */
const selected = new Set();
let turn = 0;

/** @returns {View} */
function view() {
  const data = /** @type {any} */ (Object.fromEntries(new FormData(form)));
  return { ...data, threshold: Number(data.threshold) };
}

/** Choose the rows again and put the view into the address. @param {number} [focused] */
async function apply(focused = 0) {
  const chosen = view();
  const usual = { sort: "risk", read: "1", threshold: Number(find("#threshold").dataset.usual) };
  const said = Object.entries(chosen).filter(([name, value]) => value && value !== /** @type {any} */ (usual)[name]);
  history.replaceState(null, "", `?${new URLSearchParams(said.map(([name, value]) => [name, String(value)]))}`);
  turn += 1;
  const mine = turn;
  try {
    if (chosen.read !== rows.read) done.length = 0;
    await rows.prepare(chosen);
  } catch (error) {
    showTrouble(/** @type {Error} */ (error).message);
  }
  // the view has changed meanwhile
  if (mine !== turn) return;
  find("#groups").replaceChildren(...rows.values.slice(0, 200).map((value) => new Option("", value)));
  find("#group").disabled = !chosen.by;
  selected.clear();
  grid.set(rows.choose(chosen), focused);
  find("#nothing").hidden = grid.rows.length > 0 || rows.item.length === 0;
  tell();
}

/** Say what is shown, decided and chosen. */
function tell() {
  const { threshold } = view();
  const whole = (/** @type {number} */ number) => number.toLocaleString();
  const decided = [...rows.decisions.values()].filter((each) => each.verdict).length;
  find("#threshold-text").textContent = threshold.toFixed(3);
  const shares = rows.measure(threshold).map((share) => share.toFixed(3));
  const known = rows.truth.length ? ` Sensitivity ${shares[0]}, specificity ${shares[1]}.` : "";
  const differ = rows.read === "3" ? ` Two readers differ about ${whole(rows.pairs.size)} of ${whole(rows.twice)}.` : "";
  find("#tally").textContent = `${whole(grid.rows.length)} of ${whole(rows.item.length)} pictures. ${whole(rows.flagged(threshold))} reach the threshold.${known} ${whole(decided)} decided.${differ}`;
  find("#bulk").hidden = !selected.size;
  find("#selected").textContent = `${whole(selected.size)} chosen`;
}

/** @param {Partial<Decision> | undefined} decision @returns {string} */
const words = (decision) => (decision?.verdict ? `${decision.verdict}${decision.label ? ` ${decision.label}` : ""}` : "no decision");

/** @param {Decision} decision @returns {string} */
const opinion = (decision) => `${decision.reviewer}: ${decision.label ?? decision.verdict}`;

/** What a tile says of the decision. @param {number} at @param {boolean} over @returns {string} */
function remark(at, over) {
  const [decision, pair] = [rows.decision(at), rows.pairs.get(rows.item[at])];
  const parts = [decision?.verdict === "relabel" ? decision.label : decision?.verdict, decision?.flagged && "flag", decision?.note && "note"].filter(Boolean);
  if (pair && !decision?.verdict) parts.push(opinion(pair.first), opinion(pair.second));
  if (!parts.length && over) parts.push("≥ threshold");
  return [rows.groupOf(at), ...parts].filter(Boolean).join(", ");
}

/** Fill a tile. @param {number} at @param {HTMLButtonElement} tile */
function draw(at, tile) {
  const [risk, decision, url] = [rows.risk[at], rows.decision(at), grid.pictures.get(rows.item[at])];
  const label = rows.classes[rows.label[at] ?? -1] ?? "failed";
  const over = risk !== null && risk >= Number(find("#threshold").value);
  const said = remark(at, over);
  tile.replaceChildren(picture(url), line("caption", [swatch(rows.label[at]), label, risk === null ? "" : risk.toFixed(3)]), line("said", [said]));
  const before = grid.rows[Number(tile.dataset.place) - 1];
  tile.classList.toggle("lead", Boolean(rows.by) && (before === undefined || rows.groupOf(before) !== rows.groupOf(at)));
  tile.classList.toggle("over", over);
  tile.classList.toggle("decided", Boolean(decision?.verdict));
  tile.classList.toggle("selected", selected.has(at));
  const reached = risk === null ? "" : `, risk ${risk.toFixed(3)}${over ? ", at or above the threshold" : ""}`;
  tile.setAttribute("aria-label", `Picture ${rows.item[at] + 1}: ${label}${reached}${said && said !== "≥ threshold" ? `; ${said}` : ""}${selected.has(at) ? "; chosen" : ""}`);
}

/** @param {string | undefined} url */
function picture(url) {
  const frame = document.createElement("span");
  frame.className = "frame";
  if (url) frame.append(Object.assign(new Image(), { src: url, alt: "" }));
  return frame;
}

/** @param {string} name @param {(string | Node)[]} parts */
function line(name, parts) {
  const span = document.createElement("span");
  span.className = name;
  span.append(...parts.filter(Boolean).flatMap((part, at) => (at ? [" ", part] : [part])));
  return span;
}

/** @param {number | null} label */
function swatch(label) {
  const mark = document.createElement("span");
  mark.className = `swatch k${Math.min(label ?? 8, 8)}`;
  return mark;
}

/** @returns {number[]} rows that a key is about; failed pictures only where they are meant alone */
const targets = () => (selected.size ? [...selected].filter((at) => rows.risk[at] !== null) : [...grid.rows.slice(grid.focused, grid.focused + 1)]);

/** Save a change of the chosen pictures' decisions. @param {Partial<Decision>} change @param {boolean} [advance] */
async function decide(change, advance = true) {
  const meant = targets();
  if (!meant.length) return;
  if (!reviewer.value.trim()) {
    if (detail.open) detail.close();
    reviewer.focus();
    showTrouble("Write your name first: each decision says who made it.");
    return;
  }
  if (meant.length > MANY && !(await confirmed("Decide about all of these?", `${meant.length.toLocaleString()} pictures. ${find("#undo-key").textContent} takes it back.`, "Decide"))) return;
  const many = selected.size > 0;
  if ((await store(new Map(meant.map((at) => [rows.item[at], change])), true)) && advance && change.verdict && !many) move(1);
}

/** @param {Map<number, Partial<Decision>>} changes by item @param {boolean} undoable @returns {Promise<boolean>} whether all are saved */
async function store(changes, undoable) {
  showTrouble("");
  /** @type {Map<number, Partial<Decision>>} */
  const before = new Map([...changes.keys()].map((item) => [item, { verdict: null, label: null, flagged: false, note: "", ...rows.decisions.get(item) }]));
  try {
    const { saved, conflicts } = await rows.save(changes, reviewer.value.trim());
    const kept = new Map(saved.map(({ item }) => [item, before.get(item) ?? {}]));
    if (undoable && kept.size) done.push(kept);
    if (saved.length === 1) announce(`Saved: ${words(saved[0])}`);
    else if (saved.length) announce(`Saved: ${saved.length} decisions`);
    if (conflicts.length) refuse(conflicts);
    return !conflicts.length;
  } catch (error) {
    showTrouble(`Not saved. ${/** @type {Error} */ (error).message}`);
    return false;
  } finally {
    selected.clear();
    redraw();
  }
}

/** @param {{ detail: string, present: Decision | null }[]} conflicts */
function refuse(conflicts) {
  const [{ detail: reason, present }] = conflicts;
  if (conflicts.length > 1) showTrouble(`${conflicts.length} were not saved: others have decided meanwhile. They are shown as they are now.`);
  else if (present) showTrouble(`Not saved: ${present.reviewer} has decided meanwhile (${words(present)}). Press the key again to replace it.`);
  else showTrouble(`Not saved: ${reason}.`);
}

/** Take the last change back, of however many pictures it was. */
async function undo() {
  const last = done.pop();
  if (!last) return announce("Nothing to undo");
  const changes = new Map([...last].map(([item, { verdict, label, flagged, note }]) => [item, { verdict, label, flagged, note }]));
  await store(changes, false);
  const item = [...last.keys()][0];
  const place = grid.rows.findIndex((at) => rows.item[at] === item);
  if (place >= 0) go(place);
}

/** Draw what is in sight again, with what others have decided. */
function redraw() {
  grid.redraw();
  tell();
  if (detail.open) say(grid.rows[grid.focused]);
}

/** @param {number} place */
function go(place) {
  grid.go(place, !detail.open);
  if (detail.open) open();
}

/** @param {number} step @param {boolean} [select] choose what is passed */
function move(step, select = false) {
  const from = grid.focused;
  go(from + step);
  if (select) choose(from, grid.focused);
}

/** Choose a run of pictures, or with a single one turn it over. @param {number} from @param {number} to */
function choose(from, to) {
  for (const at of grid.rows.slice(Math.min(from, to), Math.max(from, to) + 1)) selected.add(at);
  redraw();
}

/** Choose all that the filter shows; if they are already, none. */
function chooseAll() {
  const all = selected.size === grid.rows.length;
  selected.clear();
  if (!all) choose(0, grid.rows.length - 1);
  redraw();
  announce(`${selected.size} chosen`);
}

/** Go on to the next picture without a decision. */
function next() {
  const { rows: chosen, focused } = grid;
  for (let step = 1; step <= chosen.length; step += 1) {
    const place = (focused + step) % chosen.length;
    if (!rows.decision(chosen[place])?.verdict) return go(place);
  }
  announce("All pictures here are decided");
}

/** Show the focused picture closely. */
async function open() {
  const at = grid.rows[grid.focused];
  if (at === undefined) return;
  const item = rows.item[at];
  if (!detail.open) detail.showModal();
  // not a button, which Space would press
  detail.focus();
  find("#full").href = below(`/v1/jobs/${job}/items/${item}/image`);
  say(at);
  try {
    const fragment = await (await ask(`/jobs/${job}/items/${item}`)).text();
    // another key was quicker
    if (grid.rows[grid.focused] !== at) return;
    find("#detail-item").innerHTML = fragment;
    localise(find("#detail-item"));
  } catch (error) {
    find("#detail-item").textContent = /** @type {Error} */ (error).message;
  }
}

/** @param {number} at */
function say(at) {
  const [decision, pair] = [rows.decision(at), rows.pairs.get(rows.item[at])];
  const differ = pair ? ` ${opinion(pair.first)}; ${opinion(pair.second)}.` : "";
  find("#detail-decision").textContent = `${grid.focused + 1} of ${grid.rows.length}: ${words(decision)}${decision ? `, by ${decision.reviewer}` : ""}${decision?.flagged ? ", flagged" : ""}.${decision?.note ? ` ${decision.note}` : ""}${differ}`;
}

/** Ask for a note. */
function write() {
  const box = /** @type {HTMLDialogElement} */ (find("#note-box"));
  const text = /** @type {HTMLTextAreaElement} */ (find("#note-text"));
  const old = rows.decision(grid.rows[grid.focused])?.note ?? "";
  text.value = old;
  box.returnValue = "";
  box.showModal();
  box.addEventListener("close", () => box.returnValue === "yes" && text.value !== old && decide({ note: text.value.trim() }, false), { once: true });
}

/** @type {Record<string, (event?: KeyboardEvent) => void>} */
const ACTIONS = {
  ArrowLeft: (event) => move(-1, event?.shiftKey),
  ArrowRight: (event) => move(1, event?.shiftKey),
  ArrowUp: (event) => move(-grid.columns, event?.shiftKey),
  ArrowDown: (event) => move(grid.columns, event?.shiftKey),
  Home: (event) => move(-grid.rows.length, event?.shiftKey),
  End: (event) => move(grid.rows.length, event?.shiftKey),
  Enter: () => open(),
  Escape: () => close(),
  look: () => (detail.open ? close() : open()),
  agree: () => decide({ verdict: "agree", label: null }),
  unsure: () => decide({ verdict: "unsure", label: null }),
  flag: () => decide({ flagged: !targets().every((at) => rows.decision(at)?.flagged) }, false),
  note: () => write(),
  undo: () => undo(),
  next: () => next(),
  all: () => chooseAll(),
  help: () => find("#help").showModal(),
};

/** Back to the grid; in the grid, nothing is chosen any more. */
function close() {
  if (!detail.open) selected.clear();
  detail.close();
  grid.go(grid.focused);
  redraw();
}

/** @param {KeyboardEvent} event */
function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const within = /** @type {HTMLElement} */ (event.target).closest("#grid, #detail");
  if (!within || (within === detail && [" ", "Enter"].includes(event.key) && event.target !== detail)) return;
  // a slider and a list have keys of their own
  if (/** @type {HTMLElement} */ (event.target).matches("input, select") && event.key !== "Escape") return;
  const digit = rows.classes[Number(event.key) - 1];
  const act = ACTIONS[actionOf(event) ?? event.key];
  if (!act && !digit) return;
  event.preventDefault();
  if (act) act(event);
  else decide({ verdict: "relabel", label: digit });
}

/** @param {HTMLSelectElement} select @param {string[]} values */
function fill(select, values) {
  for (const value of values) select.add(new Option(value.replaceAll("_", " "), value, false, value === select.dataset.chosen));
}

/** A button for each class. */
function offerClasses() {
  find("#classes").append(...rows.classes.map((label, at) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: `${label} ` });
    button.dataset.label = label;
    if (at < 9) button.append(Object.assign(document.createElement("kbd"), { textContent: String(at + 1) }));
    return button;
  }));
}

/** Let the page's controls do what they say. */
function listen() {
  let typing = 0;
  reviewer.value = localStorage.getItem("dermq-reviewer") ?? "";
  reviewer.addEventListener("change", () => localStorage.setItem("dermq-reviewer", reviewer.value.trim()));
  form.addEventListener("input", ({ target }) => {
    clearTimeout(typing);
    if (/** @type {HTMLInputElement} */ (target).type === "search") typing = window.setTimeout(apply, 250);
    else apply();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  find("#reset").addEventListener("click", () => {
    for (const each of form.querySelectorAll("select")) each.selectedIndex = 0;
    for (const each of form.querySelectorAll("input[type=search]")) /** @type {HTMLInputElement} */ (each).value = "";
    apply();
  });
  find("#grid").addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const tile = /** @type {HTMLElement} */ (event.target).closest("button");
    if (!tile) return;
    const [from, place] = [grid.focused, Number(tile.dataset.place)];
    grid.go(place);
    if (event.shiftKey) choose(from, place);
    else open();
  });
  find("#review").addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const { act, label } = /** @type {HTMLElement} */ (event.target).closest("button")?.dataset ?? {};
    if (act) ACTIONS[act]();
    else if (label) decide({ verdict: "relabel", label });
    if ((act || label) && detail.open) detail.focus();
  });
  detail.addEventListener("close", () => grid.go(grid.focused));
  document.addEventListener("keydown", press);
}

listen();
try {
  await rows.load(() => (find("#tally").textContent = `${rows.item.length.toLocaleString()} rows read…`));
  fill(find("#label"), rows.classes);
  fill(find("#note"), rows.codes);
  fill(find("#truth"), rows.classes);
  offerClasses();
  await apply();
  watch(rows, () => reviewer.value.trim(), redraw);
} catch (error) {
  showTrouble(`The rows cannot be read. ${/** @type {Error} */ (error).message}`);
}
