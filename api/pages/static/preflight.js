// @ts-check
// What can be known of files before they are sent, and how a folder becomes one archive.

/** @typedef {{ path: string, file: File, format: string, twin: boolean }} Entry */

const ARCHIVES = new Set(["ZIP", "7z", "gzip", "bzip2", "xz", "zstd", "TAR"]);
const CLUTTER = /(^|\/)(\.[^/]*|__MACOSX|Thumbs\.db|desktop\.ini)(\/|$)/i;
const TABLE = /\.csv$/i;

/** @type {[string, number, number[]][]} format, offset, bytes */
const MAGIC = [
  ["JPEG", 0, [0xff, 0xd8, 0xff]],
  ["PNG", 0, [0x89, 0x50, 0x4e, 0x47]],
  ["GIF", 0, [0x47, 0x49, 0x46, 0x38]],
  ["WebP", 8, [0x57, 0x45, 0x42, 0x50]],
  ["BMP", 0, [0x42, 0x4d]],
  ["TIFF", 0, [0x49, 0x49, 0x2a, 0]],
  ["TIFF", 0, [0x4d, 0x4d, 0, 0x2a]],
  ["TIFF", 0, [0x49, 0x49, 0x2b, 0]],
  ["TIFF", 0, [0x4d, 0x4d, 0, 0x2b]],
  ["HEIC", 4, [0x66, 0x74, 0x79, 0x70]],
  ["ZIP", 0, [0x50, 0x4b, 3, 4]],
  ["ZIP", 0, [0x50, 0x4b, 5, 6]],
  ["7z", 0, [0x37, 0x7a, 0xbc, 0xaf]],
  ["gzip", 0, [0x1f, 0x8b]],
  ["bzip2", 0, [0x42, 0x5a, 0x68]],
  ["xz", 0, [0xfd, 0x37, 0x7a, 0x58]],
  ["zstd", 0, [0x28, 0xb5, 0x2f, 0xfd]],
  ["TAR", 257, [0x75, 0x73, 0x74, 0x61, 0x72]],
];

/** @param {Entry} entry */
export const isArchive = (entry) => ARCHIVES.has(entry.format);
/** @param {Entry} entry */
export const isTable = (entry) => TABLE.test(entry.path);
/** @param {Entry} entry whether it is neither picture nor archive by its first bytes */
export const isOther = (entry) => entry.format === "";

/**
 * Look at the first bytes of each file, leave out what operating systems add, and find files with the same bytes.
 * @param {{ path: string, file: File }[]} found
 * @returns {Promise<Entry[]>}
 */
export async function inspect(found) {
  /** @type {Entry[]} */
  const entries = [];
  for (const { path, file } of found) {
    if (CLUTTER.test(path)) continue;
    const head = new Uint8Array(await file.slice(0, 263).arrayBuffer());
    entries.push({ path, file, format: sniff(head), twin: false });
  }
  await markTwins(entries);
  return entries;
}

/** @param {Uint8Array} head @returns {string} */
function sniff(head) {
  const known = MAGIC.find(([, offset, bytes]) => bytes.every((byte, at) => head[offset + at] === byte));
  return known ? known[0] : "";
}

/** @param {Entry[]} entries */
async function markTwins(entries) {
  // browsers have it on this machine and over HTTPS only
  if (!crypto.subtle) return;
  /** @type {Map<number, Entry[]>} */
  const sizes = new Map();
  for (const entry of entries) sizes.set(entry.file.size, [...(sizes.get(entry.file.size) ?? []), entry]);
  for (const group of sizes.values()) {
    if (group.length < 2) continue;
    const seen = new Set();
    for (const entry of group) {
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await entry.file.arrayBuffer()));
      const key = digest.join();
      entry.twin = seen.has(key);
      seen.add(key);
    }
  }
}

/**
 * How many entries a ZIP says that it has (APPNOTE 4.3.16); null where it does not say.
 * @param {File} file
 * @returns {Promise<number | null>}
 */
export async function countZip(file) {
  const tail = new DataView(await file.slice(-65557).arrayBuffer());
  for (let at = tail.byteLength - 22; at >= 0; at -= 1) {
    if (tail.getUint32(at, true) !== 0x06054b50) continue;
    const entries = tail.getUint16(at + 10, true);
    return entries === 0xffff ? null : entries;
  }
  return null;
}

/**
 * All files of what was dropped, folders with all below them.
 * @param {DataTransfer} transfer
 * @returns {Promise<{ path: string, file: File }[]>}
 */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  return (await Promise.all(entries.map((entry) => walk(entry)))).flat();
}

/** @param {any} entry @returns {Promise<{ path: string, file: File }[]>} */
async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ path: entry.fullPath.replace(/^\//, ""), file }];
  }
  const reader = entry.createReader();
  const children = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    // it gives a hundred at a time
    if (!some.length) break;
    children.push(...some);
  }
  return (await Promise.all(children.map(walk))).flat();
}

/**
 * Pack files into a TAR (POSIX ustar, with pax headers for names that do not fit). Nothing is read: the browser does it on sending.
 * @param {Entry[]} entries
 * @returns {Blob}
 */
export function pack(entries) {
  /** @type {BlobPart[]} */
  const parts = [];
  // in the same order whenever the same files are chosen
  for (const { path, file } of [...entries].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const name = new TextEncoder().encode(path);
    if (name.length > 100 || name.length !== path.length) {
      const record = paxRecord(name);
      parts.push(header(new TextEncoder().encode("pax"), record.length, "x", 0), record, padding(record.length));
    }
    const moment = Math.floor(file.lastModified / 1000);
    parts.push(header(name.slice(0, 100), file.size, "0", moment), file, padding(file.size));
  }
  parts.push(new Uint8Array(1024));
  return new Blob(parts, { type: "application/x-tar" });
}

/** @param {number} size @returns {Uint8Array<ArrayBuffer>} */
const padding = (size) => new Uint8Array((512 - (size % 512)) % 512);

/** @param {Uint8Array} name @returns {Uint8Array<ArrayBuffer>} "length path=name\n", its own digits counted */
function paxRecord(name) {
  const rest = name.length + " path=\n".length;
  let length = rest + String(rest).length;
  if (String(length).length + rest !== length) length += 1;
  const text = new TextEncoder();
  return new Uint8Array([...text.encode(`${length} path=`), ...name, 10]);
}

/** @param {Uint8Array} name @param {number} size @param {string} kind @param {number} moment @returns {Uint8Array<ArrayBuffer>} */
function header(name, size, kind, moment) {
  const block = new Uint8Array(512);
  const text = new TextEncoder();
  const put = (/** @type {string} */ value, /** @type {number} */ at) => block.set(text.encode(value), at);
  const octal = (/** @type {number} */ value, /** @type {number} */ digits) => value.toString(8).padStart(digits, "0");
  block.set(name, 0);
  put("0000644\0" + "0000000\0".repeat(2), 100);
  put(`${octal(size, 11)}\0${octal(Math.max(moment, 0), 11)}\0`, 124);
  // what the sum is made over
  put("        ", 148);
  put(`${kind}`, 156);
  put("ustar\u000000", 257);
  put(`${octal(block.reduce((sum, byte) => sum + byte, 0), 6)}\0 `, 148);
  return block;
}
