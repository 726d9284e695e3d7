// @ts-check
// What the pages of jobs share: buttons that cancel, retry and delete, and fragments that take the place of older ones.
import { announce, asJson, ask, confirmed, find, localise, showTrouble } from "./page.js";

/**
 * Let the buttons of jobs do what they say.
 * @param {(action: string) => void} after
 */
export function enableActions(after) {
  document.addEventListener("click", async (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest("button[data-act]");
    if (!(button instanceof HTMLButtonElement)) return;
    const { act = "", job = "", name = "" } = button.dataset;
    if (!(await isMeant(act, name))) return;
    button.disabled = true;
    try {
      await perform(act, job);
      announce(`${name}: ${act} done`);
      after(act);
    } catch (error) {
      showTrouble(/** @type {Error} */ (error).message);
      button.disabled = false;
    }
  });
}

/** @param {string} act @param {string} name @returns {Promise<boolean> | boolean} */
export function isMeant(act, name) {
  if (act === "delete") {
    return confirmed("Delete this job?", `${name} goes for good, with its results, decisions and uploaded archive.`, "Delete");
  }
  if (act === "cancel") {
    return confirmed("Cancel this job?", `${name} stops. The results so far stay.`, "Cancel the job");
  }
  return true;
}

/** @param {string} act @param {string} job @returns {Promise<Response>} */
export function perform(act, job) {
  if (act === "delete") return ask(`/v1/jobs/${job}`, { method: "DELETE" });
  return ask(`/v1/jobs/${job}/${act}`, asJson("POST", act === "retry" ? {} : undefined));
}

/**
 * Put a fragment's new state into the page; parts that did not change stay, and with them the focus.
 * @param {HTMLElement} live
 * @param {string} html
 */
export function replaceParts(live, html) {
  const fresh = document.createElement("div");
  fresh.innerHTML = html;
  localise(fresh);
  const focused = document.activeElement;
  const place = focused instanceof HTMLElement && live.contains(focused) ? pathOf(focused, live) : "";
  mend(live, fresh);
  if (place && !(document.activeElement && live.contains(document.activeElement))) {
    const again = live.querySelector(place);
    if (again instanceof HTMLElement) again.focus({ preventScroll: true });
  }
}

/** @param {Element} old @param {Element} fresh */
function mend(old, fresh) {
  const had = [...old.children].map((each) => each.id);
  const has = [...fresh.children].map((each) => each.id);
  if (had.length !== has.length || had.some((id, at) => !id || id !== has[at])) {
    if (old.innerHTML !== fresh.innerHTML) old.replaceChildren(...fresh.childNodes);
    return;
  }
  for (const each of [...old.children]) {
    const next = fresh.querySelector(`:scope > #${CSS.escape(each.id)}`);
    if (!next || each.isEqualNode(next)) continue;
    const open = [...each.querySelectorAll("details[open]")].map((details) => details.id);
    for (const id of open) if (id) next.querySelector(`#${id}`)?.setAttribute("open", "");
    if (each.tagName === "TABLE") mendRows(each, next);
    else each.replaceWith(next);
  }
}

/** @param {Element} old @param {Element} fresh */
function mendRows(old, fresh) {
  const body = find("tbody", old);
  const known = new Map([...body.children].map((row) => [row.id, row]));
  const rows = [...find("tbody", fresh).children].map((row) => {
    const had = known.get(row.id);
    return had && had.isEqualNode(row) ? had : row;
  });
  body.replaceChildren(...rows);
}

/** @param {HTMLElement} element @param {HTMLElement} root @returns {string} */
function pathOf(element, root) {
  const { act, job } = element.dataset;
  if (act) return `[data-act="${act}"][data-job="${job}"]`;
  const link = element.getAttribute("href");
  if (link) return `a[href="${CSS.escape(link)}"]`;
  const owner = element.closest("[id]");
  return owner && root.contains(owner) ? `#${CSS.escape(owner.id)} ${element.tagName.toLowerCase()}` : "";
}
