// @ts-check
// Uploads in parts (tus 1.0.0): paused, resumed, gone on with after a lost connection or a reload. What is under way is kept in the browser.
import { ask, newKey, Problem, sendBytes, stored } from "./page.js";

const STORED = "dermq-uploads";
// of waits after a lost connection, in ms
const WAITS = [1000, 2000, 4000, 8000, 16000];
const TUS = { "Tus-Resumable": "1.0.0" };

/** @typedef {{ url: string, name: string, size: number, offset: number, key: string }} Kept an upload that has not come to its end */

/** @returns {Record<string, Kept>} by what tells the files apart */
const uploads = () => stored(STORED);

/** @returns {[string, Kept][]} uploads of earlier visits that can go on */
export const unfinished = () => Object.entries(uploads());

/** @param {string} mark @param {Kept | null} kept */
function keep(mark, kept) {
  const others = Object.entries(uploads()).filter(([each]) => each !== mark);
  localStorage.setItem(STORED, JSON.stringify(Object.fromEntries(kept ? [...others, [mark, kept]] : others)));
}

/** Give an upload up, here and at the server. @param {string} mark */
export async function forget(mark) {
  const kept = uploads()[mark];
  keep(mark, null);
  if (kept) await ask(kept.url, { method: "DELETE", headers: TUS }).catch(() => {});
}

export class Upload {
  /**
   * @param {Blob} body @param {string} name @param {string} mark what tells the files apart
   * @param {number} size bytes of a part @param {(loaded: number) => void} progress
   */
  constructor(body, name, mark, size, progress) {
    this.body = body;
    this.name = name;
    this.mark = mark;
    this.size = size;
    this.progress = progress;
    /** @type {XMLHttpRequest | null} */ this.request = null;
    /** @type {(() => void) | null} */ this.resume = null;
    this.stopped = false;
  }

  /** Send all parts. @returns {Promise<Kept>} raises a Problem if it cannot go on */
  async send() {
    const kept = (await this.found()) ?? (await this.begin());
    for (let tries = 0; kept.offset < this.body.size; ) {
      if (this.stopped) throw new Problem("You stopped it.");
      if (this.resume === null) {
        try {
          kept.offset = await this.part(kept);
          tries = 0;
          keep(this.mark, kept);
        } catch (error) {
          if (this.stopped || this.resume) continue;
          if (!(error instanceof Problem) || (error.status && error.status !== 409 && error.status < 500) || tries >= WAITS.length) throw error;
          await new Promise((done) => setTimeout(done, WAITS[tries++]));
          kept.offset = (await this.found())?.offset ?? kept.offset;
        }
      } else await new Promise((done) => (this.resume = () => done(null)));
    }
    return kept;
  }

  /** @returns {Promise<Kept | null>} what the server has of these files */
  async found() {
    const kept = uploads()[this.mark];
    if (!kept) return null;
    try {
      const answer = await ask(kept.url, { method: "HEAD", headers: TUS });
      return { ...kept, offset: Number(answer.headers.get("Upload-Offset")) };
    } catch (error) {
      // it is over there: begin again
      if (error instanceof Problem && error.status === 404) return null;
      throw error;
    }
  }

  /** @returns {Promise<Kept>} */
  async begin() {
    const filename = btoa(String.fromCharCode(...new TextEncoder().encode(this.name)));
    const headers = { ...TUS, "Upload-Length": String(this.body.size), "Upload-Metadata": `filename ${filename}` };
    const answer = await ask("/v1/uploads", { method: "POST", headers });
    const url = `/v1/uploads/${String(answer.headers.get("Location")).split("/").pop()}`;
    const kept = { url, name: this.name, size: this.body.size, offset: 0, key: newKey() };
    keep(this.mark, kept);
    return kept;
  }

  /** Send the next part, with its hash. @param {Kept} kept @returns {Promise<number>} where the server is now */
  async part({ url, offset }) {
    const bytes = await this.body.slice(offset, offset + this.size).arrayBuffer();
    // browsers have it on this machine and over HTTPS only
    const digest = crypto.subtle && new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const request = new XMLHttpRequest();
    this.request = request;
    /** @type {Record<string, string>} */
    const headers = { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) };
    if (digest) headers["Content-Digest"] = `sha-256=:${btoa(String.fromCharCode(...digest))}:`;
    await sendBytes(request, "PATCH", url, { headers, body: bytes, progress: (event) => this.progress(offset + event.loaded) });
    if (request.status !== 204) throw new Problem(`The server answered ${request.status}.`, request.status);
    return Number(request.getResponseHeader("Upload-Offset"));
  }

  /** Wait, or go on. @returns {boolean} whether it waits now */
  turn() {
    const go = this.resume;
    this.resume = go ? null : () => {};
    if (go) go();
    else this.request?.abort();
    return !go;
  }

  /** End it for good; another one of the same files goes on where it was. */
  abort() {
    this.stopped = true;
    this.request?.abort();
    this.resume?.();
  }
}

/** The job has the bytes. @param {string} mark */
export const finish = (mark) => keep(mark, null);
