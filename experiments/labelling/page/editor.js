// The label of the open picture, and its strokes: begun, drawn, kept or taken back.

import { cut, differ, History } from './history.js';
import { unite } from './canvas/raster.js';

export class Editor {
  // `shown(box)` is called for every change, `kept()` when a stroke is done, undone or done again.
  constructor({ shown, kept }) {
    Object.assign(this, { shown, kept, label: null, history: new History(), before: null });
  }

  open(label, history = new History()) {
    this.label = label;
    this.history = history;
    this.before = null;
    this.box = null;
    const { length } = label.data;
    if (this.spare?.length !== length) this.spare = new Uint8Array(length).fill(1);
  }

  begin() {
    if (this.before) this.commit();
    const { width, height, data } = this.label;
    this.spare.set(data);
    this.before = { width, height, data: this.spare };
    this.box = null;
  }

  // `paint(label)` paints and returns the box that changed.
  paint(paint) {
    const box = paint(this.label);
    if (!box) return;
    this.box = unite(this.box, box);
    this.shown(box);
  }

  commit() {
    const { before, box } = this;
    this.before = null;
    if (!before || !box) return;
    if (!differ(before, this.label, box)) return;
    this.history.push({ box, bytes: cut(before, box) });
    this.kept();
  }

  cancel() {
    const { before, box } = this;
    this.before = null;
    if (!before || !box) return;
    for (let y = box.y0; y < box.y1; y++) {
      const from = y * before.width;
      this.label.data.set(before.data.subarray(from + box.x0, from + box.x1), from + box.x0);
    }
    this.shown(box);
  }

  stroke(paint) {
    this.begin();
    this.paint(paint);
    this.commit();
  }

  undo() {
    return this.travel('undo');
  }

  redo() {
    return this.travel('redo');
  }

  travel(way) {
    if (!this.label || this.before) return false;
    const box = this.history[way](this.label);
    if (!box) return false;
    this.shown(box);
    this.kept();
    return true;
  }
}
