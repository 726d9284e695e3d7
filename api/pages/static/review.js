// @ts-check
// Review: the view in the address, the keys, and what the reader decides.
import { announce, ask, find, localise, Problem, showTrouble } from "./page.js";
import { Grid } from "./grid.js";
import { Rows } from "./rows.js";

const job = String(find("#review").dataset.job);
const form = /** @type {HTMLFormElement} */ (find("#view"));
const reviewer = /** @type {HTMLInputElement} */ (find("#reviewer"));
const detail = /** @type {HTMLDialogElement} */ (find("#detail"));
const rows = new Rows(job);
const grid = new Grid(find("#scroller"), find("#grid"), job, draw, (at) => rows.item[at]);
/** @type {{ item: number, before: any }[]} */
const done = [];

/** @returns {import("./rows.js").View} */
function view() {
  const data = /** @type {any} */ (Object.fromEntries(new FormData(form)));
  return { ...data, threshold: Number(data.threshold) };
}

/** Choose the rows again and put the view into the address. @param {number} [focused] */
function apply(focused = 0) {
  const chosen = view();
  const usual = Number(find("#threshold").dataset.usual);
  const query = new URLSearchParams(Object.entries(chosen).filter(([name, value]) => value && !(name === "threshold" && value === usual)).map(([name, value]) => [name, String(value)]));
  history.replaceState(null, "", `?${query}`);
  grid.set(rows.choose(chosen), focused);
  find("#nothing").hidden = grid.rows.length > 0 || rows.item.length === 0;
  tell(chosen);
}

/** @param {import("./rows.js").View} chosen */
function tell(chosen) {
  const whole = (/** @type {number} */ number) => number.toLocaleString();
  const decided = [...rows.decisions.values()].filter((each) => each.verdict).length;
  find("#threshold-text").textContent = chosen.threshold.toFixed(3);
  const shares = rows.measure(chosen.threshold).map((share) => share.toFixed(3));
  const known = rows.truth.length ? ` Sensitivity ${shares[0]}, specificity ${shares[1]}.` : "";
  find("#tally").textContent = `${whole(grid.rows.length)} of ${whole(rows.item.length)} pictures. ${whole(rows.flagged(chosen.threshold))} reach the threshold.${known} ${whole(decided)} decided.`;
}

/** Fill a tile. @param {number} at @param {HTMLButtonElement} tile */
function draw(at, tile) {
  const [risk, decision, url] = [rows.risk[at], rows.decision(at), grid.pictures.get(rows.item[at])];
  const label = rows.classes[rows.label[at] ?? -1] ?? "failed";
  const over = risk !== null && risk >= Number(find("#threshold").value);
  const said = [decision?.verdict === "relabel" ? decision.label : decision?.verdict, decision?.flagged && "flag", decision?.note && "note"].filter(Boolean).join(", ");
  tile.replaceChildren(picture(url), line("caption", [swatch(rows.label[at]), label, risk === null ? "" : risk.toFixed(3)]), line("said", [said || (over ? "≥ threshold" : "")]));
  tile.classList.toggle("over", over);
  tile.classList.toggle("decided", Boolean(decision?.verdict));
  tile.setAttribute("aria-label", `Picture ${rows.item[at] + 1}: ${label}${risk === null ? "" : `, risk ${risk.toFixed(3)}${over ? ", at or above the threshold" : ""}`}${said ? `; decided: ${said}` : ""}`);
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

/** Save a change of the focused picture's decision. @param {any} change @param {boolean} [advance] */
async function decide(change, advance = true) {
  const at = grid.rows[grid.focused];
  if (at === undefined) return;
  if (!reviewer.value.trim()) {
    if (detail.open) detail.close();
    reviewer.focus();
    showTrouble("Write your name first: each decision says who made it.");
    return;
  }
  const before = rows.decision(at);
  if (await store(at, change)) {
    done.push({ item: rows.item[at], before });
    if (advance && change.verdict) move(1);
  }
}

/** @param {number} at @param {any} change @returns {Promise<boolean>} whether it is saved */
async function store(at, change) {
  showTrouble("");
  try {
    await rows.save(rows.item[at], change, reviewer.value.trim());
    const { verdict, label } = /** @type {any} */ (rows.decision(at));
    announce(`Saved: ${verdict ?? "no decision"}${label ? ` ${label}` : ""}`);
    return true;
  } catch (error) {
    const reason = /** @type {Error} */ (error).message;
    const other = error instanceof Problem && error.status === 409 && rows.decision(at);
    showTrouble(other ? `Not saved: ${other.reviewer} has decided meanwhile (${other.verdict ?? "no verdict"}${other.label ? ` ${other.label}` : ""}). Press the key again to replace it.` : `Not saved. ${reason}`);
    return false;
  } finally {
    grid.redraw(at);
    tell(view());
    if (detail.open) say(at);
  }
}

/** Take the last decision back. */
async function undo() {
  const last = done.pop();
  if (!last) return announce("Nothing to undo");
  const at = rows.item.indexOf(last.item);
  const { verdict = null, label = null, flagged = false, note = "" } = last.before ?? {};
  await store(at, { verdict, label, flagged, note });
  const place = grid.rows.indexOf(at);
  if (place >= 0) go(place);
}

/** @param {number} place */
function go(place) {
  grid.go(place, !detail.open);
  if (detail.open) open();
}

/** @param {number} step */
const move = (step) => go(grid.focused + step);

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
  find("#full").href = `/v1/jobs/${job}/items/${item}/image`;
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
  const decision = rows.decision(at);
  const words = decision?.verdict ? `${decision.verdict}${decision.label ? ` ${decision.label}` : ""}` : "no decision";
  find("#detail-decision").textContent = `${grid.focused + 1} of ${grid.rows.length}: ${words}${decision ? `, by ${decision.reviewer}` : ""}${decision?.flagged ? ", flagged" : ""}${decision?.note ? `. ${decision.note}` : ""}`;
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

/** @type {Record<string, () => void>} */
const KEYS = {
  ArrowLeft: () => move(-1),
  ArrowRight: () => move(1),
  ArrowUp: () => move(-grid.columns),
  ArrowDown: () => move(grid.columns),
  Home: () => go(0),
  End: () => go(grid.rows.length - 1),
  " ": () => (detail.open ? close() : open()),
  Enter: () => open(),
  Escape: () => close(),
  a: () => decide({ verdict: "agree", label: null }),
  x: () => decide({ verdict: "unsure", label: null }),
  f: () => decide({ flagged: !rows.decision(grid.rows[grid.focused])?.flagged }, false),
  n: () => write(),
  u: () => undo(),
  j: () => next(),
  "?": () => find("#help").showModal(),
};

/** Back to the grid. */
function close() {
  detail.close();
  grid.go(grid.focused);
}

/** @param {KeyboardEvent} event */
function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const within = /** @type {HTMLElement} */ (event.target).closest("#grid, #detail");
  if (!within || (within === detail && [" ", "Enter"].includes(event.key) && event.target !== detail)) return;
  const digit = rows.classes[Number(event.key) - 1];
  const act = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (!act && !digit) return;
  event.preventDefault();
  if (act) act();
  else decide({ verdict: "relabel", label: digit });
}

/** @param {HTMLSelectElement} select @param {string[]} values */
function fill(select, values) {
  for (const value of values) select.add(new Option(value.replaceAll("_", " "), value, false, value === select.dataset.chosen));
}

reviewer.value = localStorage.getItem("dermq-reviewer") ?? "";
reviewer.addEventListener("change", () => localStorage.setItem("dermq-reviewer", reviewer.value.trim()));
form.addEventListener("input", (event) => event.target !== reviewer && apply());
form.addEventListener("submit", (event) => event.preventDefault());
find("#reset").addEventListener("click", () => {
  for (const select of form.querySelectorAll("select")) select.selectedIndex = 0;
  apply();
});
find("#grid").addEventListener("click", (/** @type {MouseEvent} */ event) => {
  const tile = /** @type {HTMLElement} */ (event.target).closest("button");
  if (!tile) return;
  grid.go(Number(tile.dataset.place));
  open();
});
detail.addEventListener("click", (event) => {
  const { key, label } = /** @type {HTMLElement} */ (event.target).closest("button")?.dataset ?? {};
  if (key) KEYS[key]();
  else if (label) decide({ verdict: "relabel", label });
  if ((key || label) && detail.open) detail.focus();
});
detail.addEventListener("close", () => grid.go(grid.focused));
find("#help-button").addEventListener("click", KEYS["?"]);
document.addEventListener("keydown", press);

try {
  await rows.load(() => (find("#tally").textContent = `${rows.item.length.toLocaleString()} rows read…`));
  fill(find("#label"), rows.classes);
  fill(find("#note"), rows.codes);
  fill(find("#truth"), rows.classes);
  find("#classes").append(...rows.classes.map((label, at) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: `${label} ` });
    button.dataset.label = label;
    if (at < 9) button.append(Object.assign(document.createElement("kbd"), { textContent: String(at + 1) }));
    return button;
  }));
  apply();
} catch (error) {
  showTrouble(`The rows cannot be read. ${/** @type {Error} */ (error).message}`);
}
