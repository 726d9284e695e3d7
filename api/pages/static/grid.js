// @ts-check
// A grid that holds only the tiles in sight, however many pictures there are. Thumbnails come in batches.
import { ask } from "./page.js";

const GAP = 8;
const CAPTION = 44;
const LEAST = 136; // pixels, of a tile's width
// rows above and below
const MARGIN = 2;
const BATCH = 24;
// thumbnails
const KEPT = 1200;

export class Grid {
  /**
   * @param {HTMLElement} scroller @param {HTMLElement} list @param {string} job
   * @param {(at: number, tile: HTMLButtonElement) => void} draw fills a tile for a row
   * @param {(at: number) => number} itemOf
   */
  constructor(scroller, list, job, draw, itemOf) {
    this.scroller = scroller;
    this.list = list;
    this.job = job;
    this.draw = draw;
    this.itemOf = itemOf;
    /** @type {Uint32Array} */ this.rows = new Uint32Array();
    // by place in the order
    /** @type {Map<number, HTMLElement>} */ this.tiles = new Map();
    /** @type {Map<number, string>} */ this.pictures = new Map(); // by item: the address of a blob; "": none
    this.focused = 0;
    this.columns = 1;
    this.size = LEAST;
    this.asking = 0;
    this.timer = 0;
    new ResizeObserver(() => this.layout()).observe(scroller);
    scroller.addEventListener("scroll", () => requestAnimationFrame(() => this.show()), { passive: true });
  }

  /** Show other rows. @param {Uint32Array} rows @param {number} focused place that has the focus when it comes to the grid */
  set(rows, focused = 0) {
    this.rows = rows;
    this.focused = Math.max(0, Math.min(focused, rows.length - 1));
    this.clear();
    this.layout();
  }

  /** Take all tiles away. */
  clear() {
    this.tiles.clear();
    this.list.replaceChildren();
  }

  /** Fit columns to the width. */
  layout() {
    const width = this.list.clientWidth;
    const columns = Math.max(2, Math.floor((width + GAP) / (LEAST + GAP)));
    const size = Math.floor((width - GAP * (columns - 1)) / columns);
    if (columns !== this.columns || size !== this.size) this.clear();
    [this.columns, this.size] = [columns, size];
    this.list.style.height = `${Math.ceil(this.rows.length / columns) * this.pitch}px`;
    this.show();
  }

  get pitch() {
    // pictures of 4:3 fill it; none is cut
    return Math.round(this.size * 0.75) + CAPTION + GAP;
  }

  /** Make the tiles in sight, and take the others away. */
  show() {
    const top = this.scroller.scrollTop;
    const first = Math.max(0, Math.floor(top / this.pitch) - MARGIN) * this.columns;
    const rows = Math.ceil(this.scroller.clientHeight / this.pitch) + 2 * MARGIN + 1;
    const end = Math.min(this.rows.length, first + rows * this.columns);
    for (const [place, tile] of this.tiles) {
      if ((place < first || place >= end) && !tile.contains(document.activeElement)) {
        tile.remove();
        this.tiles.delete(place);
      }
    }
    for (let place = first; place < end; place += 1) if (!this.tiles.has(place)) this.add(place);
    clearTimeout(this.timer);
    // not for what is scrolled past
    this.timer = window.setTimeout(() => this.fetch(first, end), 60);
  }

  /** @param {number} place @returns {HTMLElement} */
  add(place) {
    const cell = document.createElement("li");
    const tile = document.createElement("button");
    tile.type = "button";
    tile.className = "tile";
    tile.dataset.place = String(place);
    tile.tabIndex = place === this.focused ? 0 : -1;
    cell.setAttribute("aria-setsize", String(this.rows.length));
    cell.setAttribute("aria-posinset", String(place + 1));
    cell.append(tile);
    const x = (place % this.columns) * (this.size + GAP);
    const y = Math.floor(place / this.columns) * this.pitch;
    Object.assign(cell.style, { transform: `translate(${x}px, ${y}px)`, width: `${this.size}px`, height: `${this.pitch - GAP}px` });
    this.draw(this.rows[place], tile);
    this.tiles.set(place, cell);
    // In the order of the pictures, for who reads the page without seeing it.
    const after = [...this.list.children].find((each) => Number(/** @type {any} */ (each.firstChild).dataset.place) > place);
    this.list.insertBefore(cell, after ?? null);
    return cell;
  }

  /** Draw a row again where it is in sight; without one, all that are. @param {number} [at] */
  redraw(at) {
    for (const [place, cell] of this.tiles) {
      if (at === undefined || this.rows[place] === at) this.draw(this.rows[place], /** @type {any} */ (cell.firstChild));
    }
  }

  /** Bring a place into sight and give it the focus. @param {number} place @param {boolean} focus */
  go(place, focus = true) {
    if (!this.rows.length) return;
    const old = this.tiles.get(this.focused)?.firstChild;
    if (old instanceof HTMLElement) old.tabIndex = -1;
    this.focused = Math.max(0, Math.min(place, this.rows.length - 1));
    const top = Math.floor(this.focused / this.columns) * this.pitch;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + this.pitch > scrollTop + clientHeight) this.scroller.scrollTop = top + this.pitch - clientHeight;
    const tile = /** @type {HTMLElement} */ ((this.tiles.get(this.focused) ?? this.add(this.focused)).firstChild);
    tile.tabIndex = 0;
    if (focus) tile.focus({ preventScroll: true });
    this.show();
  }

  /** Ask for the thumbnails of some places, a batch after the other. @param {number} first @param {number} end */
  async fetch(first, end) {
    if (this.asking >= 2) return;
    const wanted = [];
    for (let place = first; place < end && wanted.length < BATCH; place += 1) {
      const at = this.rows[place];
      const item = this.itemOf(at);
      if (!this.pictures.has(item)) wanted.push({ at, item });
    }
    if (!wanted.length) return;
    for (const { item } of wanted) this.pictures.set(item, "");
    this.asking += 1;
    try {
      const query = wanted.map(({ item }) => `item=${item}`).join("&");
      const form = await (await ask(`/v1/jobs/${this.job}/thumbnails?size=192&${query}`)).formData();
      for (const { at, item } of wanted) {
        const part = form.get(String(item));
        if (part instanceof File) this.pictures.set(item, URL.createObjectURL(part));
        this.redraw(at);
      }
    } catch {
      // asked for again on the next move
      for (const { item } of wanted) this.pictures.delete(item);
      return;
    } finally {
      this.asking -= 1;
    }
    this.forget();
    this.show();
  }

  /** Give memory back: the thumbnails that were asked for first. */
  forget() {
    for (const [item, url] of this.pictures) {
      if (this.pictures.size <= KEPT) return;
      if (url) URL.revokeObjectURL(url);
      this.pictures.delete(item);
    }
  }
}
