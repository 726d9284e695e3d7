// @ts-check
// Lays a map of which places speak for a class over a picture. Off until somebody asks for it.
import { announce, ask, find } from "./page.js";

/** Show what the controls of a picture say. @param {HTMLElement} item */
async function lay(item) {
  const map = /** @type {HTMLImageElement} */ (find(".picture .map", item));
  const on = find(".saliency input[type=checkbox]", item);
  const chosen = find(".saliency select", item);
  const label = chosen.value;
  // an answer may come when another class is chosen
  const show = () => (map.hidden = !on.checked || map.dataset.label !== chosen.value);
  map.style.opacity = find(".saliency input[type=range]", item).value;
  find(".saliency .chosen", item).hidden = !on.checked;
  show();
  if (!on.checked) say(item, "");
  else if (map.dataset.label === label) say(item, map.alt);
  else if (item.dataset.asked !== label) await load(item, map, label);
  show();
}

/** Ask for the map of a class. @param {HTMLElement} item @param {HTMLImageElement} map @param {string} label */
async function load(item, map, label) {
  item.dataset.asked = label;
  say(item, "Asking the model…");
  let outcome = `Places that speak for ${label}; the strongest is yellow.`;
  try {
    const answer = await ask(`${find(".saliency", item).dataset.url}?${new URLSearchParams({ label })}`);
    const picture = await answer.blob();
    // another class was chosen meanwhile
    if (item.dataset.asked !== label) return;
    URL.revokeObjectURL(map.src);
    Object.assign(map, { src: URL.createObjectURL(picture), alt: outcome });
    map.dataset.label = label;
  } catch (error) {
    outcome = /** @type {Error} */ (error).message;
  }
  if (item.dataset.asked !== label) return;
  delete item.dataset.asked;
  // nobody wants it any more
  if (!find(".saliency input[type=checkbox]", item).checked) return;
  say(item, outcome);
  announce(outcome);
}

/** @param {HTMLElement} item @param {string} text */
function say(item, text) {
  find(".saliency .said", item).textContent = text;
}

document.addEventListener("input", ({ target }) => {
  const item = /** @type {HTMLElement} */ (target).closest(".saliency")?.closest("article");
  if (item) lay(item);
});
