// @ts-check
// The page that takes pictures: looks at them, packs them, sends them, and shows the answer of one picture alone.
import { announce, asJson, ask, below, find, localise, newKey, parse, sendBytes, showTrouble, words, Problem } from "./page.js";
import { finish, forget, unfinished, Upload } from "./uploads.js";
import "./saliency.js";
import { countZip, dropped, inspect, isArchive, isOther, isTable, pack } from "./preflight.js";

/** @typedef {import("./preflight.js").Entry} Entry */

const form = /** @type {HTMLFormElement} */ (find("#submission"));
const drop = find("#drop");
const base = String(form.dataset.base);
// bytes: less is sent in one request
const PART = Number(form.dataset.part);
const limits = { upload: Number(form.dataset.maxUpload), image: Number(form.dataset.maxImage) };

/** @type {Entry[]} */
let entries = [];
/** @type {{ abort: () => void } | null} */
let sending = null;
/** @type {Upload | null} one in parts, which can wait */
let parts = null;
let key = "";

/** @param {number} bytes @returns {string} */
function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const at = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  const value = bytes / 1000 ** at;
  return `${value.toLocaleString(undefined, { maximumFractionDigits: at && value < 100 ? 1 : 0 })} ${units[at]}`;
}

/** @param {number} number @param {string} one @param {string} many */
const count = (number, one, many) => `${number.toLocaleString()} ${number === 1 ? one : many}`;

/** @returns {Entry[]} what will be sent */
function chosen() {
  const leave = !find("#leave").hidden && find("#leave-out").checked;
  return leave ? entries.filter((entry) => !isOther(entry)) : entries;
}

/** @returns {"image" | "file" | "folder"} how it will be sent */
function kind() {
  const those = chosen();
  if (those.length !== 1) return "folder";
  return isArchive(those[0]) || isTable(those[0]) ? "file" : "image";
}

/** @param {{ path: string, file: File }[]} found */
async function take(found) {
  if (sending || !found.length) return;
  showTrouble("");
  find("#answer").hidden = true;
  announce(`Looking at ${count(found.length, "file", "files")}`);
  drop.classList.add("busy");
  entries = await inspect(found);
  drop.classList.remove("busy");
  key = newKey();
  const others = entries.filter(isOther).length;
  find("#leave").hidden = entries.length < 2 || others === 0 || others === entries.length;
  find("#leave-text").textContent = `Leave out ${count(others, "file that is no picture", "files that are no pictures")}`;
  await show();
  find("#preflight").hidden = false;
  find("#send").focus();
  announce(find("#facts").innerText);
}

/** Show what is known of the files. */
async function show() {
  const those = chosen();
  const bytes = those.reduce((sum, entry) => sum + entry.file.size, 0);
  /** @type {Map<string, number>} */
  const formats = new Map();
  for (const entry of those) {
    const name = entry.format || (isTable(entry) ? "table" : "unknown");
    formats.set(name, (formats.get(name) ?? 0) + 1);
  }
  const single = kind() === "file" && those[0].format === "ZIP" ? await countZip(those[0].file) : null;
  facts([
    ["Files", those.length.toLocaleString()],
    ["Size", size(bytes)],
    ["Formats", [...formats].map(([name, items]) => (items === those.length ? name : `${name} ${items}`)).join(", ")],
    ...(single === null ? [] : [/** @type {[string, string]} */ (["Entries in the archive", single.toLocaleString()])]),
  ]);
  remarks(those, bytes);
  const button = /** @type {HTMLButtonElement} */ (find("#send"));
  button.disabled = !those.length || bytes > limits.upload;
  button.textContent = { image: "Classify this picture", file: "Submit this file", folder: `Submit ${count(those.length, "picture", "pictures")}` }[kind()];
  commands();
}

/** @param {[string, string][]} pairs */
function facts(pairs) {
  const nodes = pairs.map(([name, value]) => {
    const group = document.createElement("div");
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, text.textContent] = [name, value];
    group.append(term, text);
    return group;
  });
  find("#facts").replaceChildren(...nodes);
}

/** @param {Entry[]} those @param {number} bytes */
function remarks(those, bytes) {
  const said = [];
  const twins = those.filter((entry) => entry.twin);
  const large = those.filter((entry) => entry.file.size > limits.image && !isArchive(entry));
  const archives = those.length > 1 ? those.filter(isArchive) : [];
  if (twins.length) said.push(`${count(twins.length, "file has", "files have")} the same bytes as another one, for example ${twins[0].path}.`);
  if (large.length) said.push(`${count(large.length, "picture is", "pictures are")} larger than ${size(limits.image)} and will fail, for example ${large[0].path}.`);
  if (archives.length) said.push(`${count(archives.length, "archive lies", "archives lie")} among the files and will fail. Submit each archive alone, for example ${archives[0].path}.`);
  if (those.length === 1 && isOther(those[0]) && !isTable(those[0])) said.push("The first bytes are of no picture and no archive that DermQ knows.");
  if (bytes > limits.upload) said.push(`The server takes at most ${size(limits.upload)}.`);
  const nodes = said.map((text) => Object.assign(document.createElement("li"), { textContent: text }));
  find("#remarks").replaceChildren(...nodes);
}

/** @returns {URLSearchParams} what the form asks for, as the API has it */
function parameters() {
  const asked = new URLSearchParams(/** @type {HTMLSelectElement} */ (find("#model")).value);
  const priority = /** @type {any} */ (new FormData(form)).get("priority");
  if (priority !== "normal") asked.set("priority", priority);
  const name = find("#name").value.trim();
  if (name) asked.set("name", name);
  const tags = find("#tags").value.trim();
  if (tags) asked.set("tags", tags);
  return asked;
}

/** @returns {string} name of a folder, of a file, or of many files */
function usualName() {
  if (kind() !== "folder") return entries.length ? chosen()[0].file.name : "lesions.zip";
  const tops = new Set(entries.map((entry) => entry.path.split("/")[0]));
  return tops.size === 1 && entries[0].path.includes("/") ? [...tops][0] : "pictures";
}

/** @param {string} text @returns {string} as a shell takes it for one word */
const shell = (text) => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** Write the lines for a terminal. */
function commands() {
  const asked = parameters();
  const target = entries.length ? usualName() : "lesions.zip";
  const quoted = shell(target);
  const query = asked.size ? `?${asked}` : "";
  const tags = words(asked.get("tags") ?? "");
  const options = [...asked].filter(([name]) => ["model", "label", "version"].includes(name)).map(([name, value]) => ` --${name} ${value}`);
  const way = entries.length ? kind() : "file";
  find("#curl").textContent = {
    image: `curl --data-binary @${quoted} '${base}/v1/classify${query}'`,
    file: `curl -T ${quoted} '${base}/v1/jobs${query}'`,
    folder: `tar -c ${quoted} | curl -T - '${base}/v1/jobs${query}'`,
  }[way];
  find("#dermq").textContent = `dermq screen ${quoted} --server ${base}${options.join("")}${tags.map((tag) => ` --tag ${shell(tag)}`).join("")}`;
}

/** Send it: a picture to be answered, all else as a job. */
async function send() {
  const way = kind();
  const asked = parameters();
  if (!asked.has("name")) asked.set("name", way === "folder" ? `${usualName()}.tar` : usualName());
  const body = way === "folder" ? pack(chosen()) : chosen()[0].file;
  showTrouble("");
  busy(true);
  try {
    const answer = way !== "image" && body.size > PART ? await uploadInParts(body, asked) : await upload(`${way === "image" ? "/v1/classify" : "/v1/jobs"}?${asked}`, body);
    if (way === "image" && answer.object === "classification") await present(answer.job, answer.item);
    else location.assign(below(`/jobs/${answer.id}`));
  } catch (error) {
    const reason = /** @type {Error} */ (error).message;
    showTrouble(error instanceof Problem && error.status ? reason : `${reason} Nothing is lost: send it again, it becomes one job only.`);
  } finally {
    busy(false);
  }
}

/** @param {boolean} on */
function busy(on) {
  find("#sending").hidden = !on;
  for (const control of form.querySelectorAll("input, select, #send, #clear")) /** @type {any} */ (control).disabled = on;
}

/** Send a body in one request. @param {string} url @param {Blob} body @returns {Promise<any>} */
async function upload(url, body) {
  const request = new XMLHttpRequest();
  sending = request;
  const begun = performance.now();
  const headers = { "Content-Type": "application/octet-stream", "Idempotency-Key": key };
  try {
    await sendBytes(request, "POST", url, { headers, body, progress: (event) => showRate(event, (performance.now() - begun) / 1000) });
    return parse(request.responseText);
  } finally {
    sending = null;
  }
}

/**
 * Send a large body in parts, and make a job of them. A second try, also after a reload, goes on where the first one was.
 * @param {Blob} body @param {URLSearchParams} asked @returns {Promise<any>}
 */
async function uploadInParts(body, asked) {
  const name = String(asked.get("name"));
  const mark = [name, body.size, chosen().length, Math.max(...chosen().map(({ file }) => file.lastModified))].join(":");
  const begun = performance.now();
  let first = -1;
  parts = new Upload(body, name, mark, PART, (loaded) => {
    if (first < 0) first = loaded;
    showRate({ loaded, total: body.size, since: first }, (performance.now() - begun) / 1000);
  });
  sending = parts;
  find("#pause").hidden = false;
  try {
    const kept = await parts.send();
    const source = `upload:${kept.url.split("/").pop()}`;
    const answer = await ask(`/v1/jobs?${asked}`, asJson("POST", { source }, { "Idempotency-Key": kept.key }));
    finish(mark);
    return answer.json();
  } finally {
    [sending, parts] = [null, null];
    find("#pause").hidden = true;
    offerUnfinished();
  }
}

/** Say which uploads of earlier visits can go on. */
function offerUnfinished() {
  const [last] = unfinished();
  find("#unfinished").hidden = !last;
  if (!last) return;
  const [mark, { name, size: bytes, offset }] = last;
  find("#unfinished-text").textContent = `${name}: ${size(offset)} of ${size(bytes)} have come. Choose the same files again, and it goes on there.`;
  find("#forget").dataset.mark = mark;
}

/** @param {{ loaded: number, total: number, since?: number }} event @param {number} seconds */
function showRate(event, seconds) {
  const rate = (event.loaded - (event.since ?? 0)) / Math.max(seconds, 0.001);
  const left = Math.ceil((event.total - event.loaded) / rate);
  find("#bar").value = event.loaded / event.total;
  const done = event.loaded === event.total;
  find("#rate").textContent = done
    ? "Sent. The server works…"
    : `${size(event.loaded)} of ${size(event.total)}, ${size(rate)}/s, ${left < 60 ? `${left} s` : `${Math.ceil(left / 60)} min`} left`;
}

/** @param {string} job @param {number} item */
async function present(job, item) {
  const fragment = await ask(`/jobs/${job}/items/${item}`);
  const place = find("#answer");
  place.innerHTML = await fragment.text();
  place.hidden = false;
  localise(place);
  place.scrollIntoView({ block: "nearest" });
}

/** Fill the list of models; the page works without it. */
async function offerModels() {
  const select = /** @type {HTMLSelectElement} */ (find("#model"));
  const card = find("#card");
  /** @type {any[]} */
  let models;
  try {
    models = (await (await ask("/v1/models")).json()).data;
  } catch {
    card.textContent = "The model server does not answer. Jobs are taken, and wait for it.";
    return;
  }
  for (const model of models) {
    for (const [label, version] of Object.entries(model.labels)) add(select, `${model.name}, ${label} (v${version})`, { model: model.name, label });
    for (const { version, state } of model.versions) if (state === "AVAILABLE") add(select, `${model.name} v${version}`, { model: model.name, version });
  }
  const tell = () => {
    const asked = new URLSearchParams(select.value);
    const model = models.find((each) => each.name === (asked.get("model") ?? form.dataset.model));
    const version = Number(asked.get("version") ?? model?.labels[asked.get("label") ?? "stable"]);
    const spec = model?.versions.find((/** @type {any} */ each) => each.version === version)?.spec ?? model?.spec;
    card.textContent = spec ? `${spec.classes.length} classes: ${spec.classes.join(", ")}. Flags from a risk of ${spec.thresholds[spec.operating_point].toFixed(3)} on.` : "This model does not describe itself now.";
    commands();
  };
  select.addEventListener("change", tell);
  tell();
}

/** @param {HTMLSelectElement} select @param {string} text @param {Record<string, any>} asked */
function add(select, text, asked) {
  select.add(new Option(text, String(new URLSearchParams(asked))));
}

for (const id of ["#files", "#folder"]) {
  const input = /** @type {HTMLInputElement} */ (find(id));
  input.addEventListener("change", () => take([...(input.files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file }))));
}
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", type === "dragover");
  });
}
document.addEventListener("drop", async (event) => {
  if (event.dataTransfer) take(await dropped(event.dataTransfer));
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (entries.length && !sending) send();
});
form.addEventListener("input", () => (entries.length ? show() : commands()));
find("#stop").addEventListener("click", () => sending?.abort());
find("#pause").addEventListener("click", () => {
  find("#pause").textContent = parts?.turn() ? "Go on" : "Pause";
});
find("#forget").addEventListener("click", async () => {
  await forget(find("#forget").dataset.mark);
  offerUnfinished();
});
find("#clear").addEventListener("click", () => {
  entries = [];
  form.reset();
  find("#preflight").hidden = true;
  commands();
  find("#files").focus();
});
commands();
offerUnfinished();
offerModels();
