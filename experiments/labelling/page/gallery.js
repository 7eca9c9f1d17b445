// The list of pictures: of thousands, only those in sight have elements and thumbnails.

import { listPictures, thumbnailOf } from './api.js';
import { showMask } from './thumbs.js';
import { t } from './words.js';

const PAGE = 200;
const AROUND = 4; // items beyond the edges of what is seen

export class Gallery {
  // `chosen(name)` is called when a person picks one.
  constructor({ list, chosen, busy }) {
    Object.assign(this, { list, chosen, busy });
    Object.assign(this, { order: 'name', state: 'all', total: 0, pages: new Map(), current: null });
    this.classes = [];
    this.place = 0; // of the current picture, also when it is in the list no more
    this.items = new Map();
    this.asked = new Map();
    this.generation = 0;
    this.sheet = list.firstElementChild;
    list.addEventListener('scroll', () => this.show(), { passive: true });
    list.addEventListener('click', (event) => {
      const item = event.target.closest('[role=option]');
      if (item) this.chosen(item.dataset.name);
    });
    new ResizeObserver(() => this.show()).observe(list);
  }

  // Sizes are the style sheet's: a column beside the picture, a strip on a narrow screen.
  measure() {
    const style = getComputedStyle(this.list);
    const across = style.getPropertyValue('--across').trim() === '1';
    const step = parseFloat(style.getPropertyValue('--step'));
    const seen = across ? this.list.clientWidth : this.list.clientHeight;
    return { across, step, seen, from: across ? this.list.scrollLeft : this.list.scrollTop };
  }

  async choose(change) {
    Object.assign(this, change);
    this.pages.clear();
    this.list.scrollTo(0, 0);
    await this.refresh();
    const at = this.find(this.current);
    if (at >= 0) this.place = at;
  }

  // Asks again for what is seen; the rest is asked for when it is.
  async refresh() {
    const generation = ++this.generation;
    const { step, seen, from } = this.measure();
    const wanted = new Set([Math.floor(from / step / PAGE), Math.floor((from + seen) / step / PAGE)]);
    const at = this.find(this.current);
    if (at >= 0) wanted.add(Math.floor(at / PAGE));
    const fresh = new Map();
    await Promise.all([...wanted].map(async (page) => fresh.set(page, await this.fetch(page))));
    if (generation !== this.generation) return;
    this.pages = fresh;
    const now = this.find(this.current);
    if (now >= 0) this.place = now;
    this.show();
  }

  async fetch(page) {
    const { order, state } = this;
    const answer = await listPictures({ order, state, start: page * PAGE, count: PAGE });
    this.total = answer.total;
    return answer.pictures;
  }

  load(page) {
    if (this.pages.has(page)) return Promise.resolve();
    if (!this.asked.has(page)) {
      this.asked.set(page, this.loadNow(page).finally(() => this.asked.delete(page)));
    }
    return this.asked.get(page);
  }

  async loadNow(page) {
    const { generation } = this;
    try {
      const pictures = await this.fetch(page);
      if (generation === this.generation) this.pages.set(page, pictures);
      this.show();
    } catch {
      // The server does not answer: the page says so elsewhere, and asks when it is there again.
    }
  }

  at(index) {
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE] ?? null;
  }

  find(name) {
    for (const [page, pictures] of this.pages) {
      const at = pictures.findIndex((picture) => picture.name === name);
      if (at >= 0) return page * PAGE + at;
    }
    return -1;
  }

  picture(name) {
    return this.at(this.find(name));
  }

  // A picture that has changed is shown so before the list is asked for again.
  put(picture) {
    const at = this.find(picture.name);
    if (at < 0) return;
    this.pages.get(Math.floor(at / PAGE))[at % PAGE] = picture;
    this.show();
  }

  setCurrent(name) {
    this.current = name;
    const at = this.find(name);
    if (at >= 0) this.place = at;
    this.reveal(this.place);
    this.show();
  }

  reveal(index) {
    const { across, step, seen, from } = this.measure();
    const start = index * step;
    let to = from;
    if (start < from + step / 2) to = start - step / 2;
    else if (start + step > from + seen - step / 2) to = start + step * 1.5 - seen;
    if (across) this.list.scrollLeft = to;
    else this.list.scrollTop = to;
  }

  show() {
    const { across, step, seen, from } = this.measure();
    const length = `${this.total * step}px`;
    this.sheet.style.width = across ? length : '';
    this.sheet.style.height = across ? '' : length;
    this.sheet.dataset.none = this.total ? '' : t('none_here');
    const first = Math.max(0, Math.floor(from / step) - AROUND);
    const last = Math.min(this.total, Math.ceil((from + seen) / step) + AROUND);
    const needed = new Map();
    for (let index = first; index < last; index++) {
      const picture = this.at(index);
      if (picture) needed.set(picture.name, { picture, index });
      else this.load(Math.floor(index / PAGE));
    }
    for (const [name, item] of this.items) {
      if (!needed.has(name)) {
        item.remove();
        this.items.delete(name);
      }
    }
    for (const [name, { picture, index }] of needed) {
      if (!this.items.has(name)) this.items.set(name, this.make(picture));
      this.fill(this.items.get(name), picture, index, across ? 'left' : 'top', index * step);
    }
    const active = this.items.get(this.current);
    if (active) this.list.setAttribute('aria-activedescendant', active.id);
    else this.list.removeAttribute('aria-activedescendant');
  }

  make(picture) {
    const item = document.createElement('div');
    item.className = 'item';
    item.id = `picture-${(this.made = (this.made ?? 0) + 1)}`;
    item.setAttribute('role', 'option');
    item.dataset.name = picture.name;
    const image = document.createElement('img');
    image.alt = '';
    image.draggable = false;
    image.decoding = 'async';
    image.src = thumbnailOf(picture);
    const [text, name, state, meter] = ['span', 'span', 'span', 'span'].map((kind) => (
      document.createElement(kind)
    ));
    [text.className, name.className, state.className] = ['text', 'name', 'state'];
    meter.className = 'meter';
    meter.append(document.createElement('i'));
    text.append(name, state, meter);
    const thumb = Object.assign(document.createElement('span'), { className: 'thumb' });
    thumb.append(image, document.createElement('canvas'));
    item.append(thumb, text);
    this.sheet.append(item);
    return item;
  }

  fill(item, picture, index, edge, place) {
    item.style.left = edge === 'left' ? `${place}px` : '';
    item.style.top = edge === 'top' ? `${place}px` : '';
    item.setAttribute('aria-posinset', index + 1);
    item.setAttribute('aria-setsize', this.total);
    item.setAttribute('aria-selected', picture.name === this.current);
    item.title = picture.name;
    const mark = markOf(picture);
    item.dataset.mark = mark;
    item.dataset.state = picture.state;
    item.querySelector('.name').textContent = picture.name;
    item.querySelector('.state').textContent = t(`mark_${mark}`);
    showMask(item.querySelector('canvas'), picture, this.classes);
    const sure = picture.confidence !== null && ['found', 'unsure'].includes(mark);
    item.querySelector('.meter').hidden = !sure;
    if (sure) item.querySelector('i').style.width = `${Math.round(picture.confidence * 100)}%`;
  }

  // The neighbor of the current picture; null at either end.
  async step(by) {
    const at = this.find(this.current);
    // One that left the list (its state is filtered out) was where the next one is now.
    const index = at >= 0 ? at + by : this.place + (by < 0 ? by : 0);
    return index >= 0 && index < this.total ? this.reach(index) : null;
  }

  async reach(index) {
    await this.load(Math.floor(index / PAGE));
    return this.at(index);
  }

  // The next picture that nobody has decided on, beginning behind the current one; else the next.
  async nextOpen() {
    const at = this.find(this.current);
    const start = at >= 0 ? at + 1 : this.place;
    for (let i = 0; i < this.total; i++) {
      const picture = await this.reach((start + i) % this.total);
      if (!picture || picture.name === this.current) continue;
      const open = picture.decision === null && picture.state !== 'drawn' && picture.width > 0;
      if (open && !this.busy(picture.name)) return picture;
    }
    return this.step(1);
  }
}

const UNSURE = 0.7;

// One word for what a person has to know of a picture first.
export function markOf(picture) {
  if (picture.problem) return 'problem';
  if (picture.decision) return picture.decision;
  if (picture.is_support) return 'support';
  if (picture.state === 'found' && picture.confidence !== null && picture.confidence < UNSURE) {
    return 'unsure';
  }
  return picture.state;
}
