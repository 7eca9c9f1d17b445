// One's own strokes in one picture, back and forth. An entry keeps the pixels of its box as they
// were; undoing exchanges them with what is there.

const MOST_BYTES = 256e6;

function exchange(label, { box, bytes }) {
  const width = box.x1 - box.x0;
  const row = new Uint8Array(width);
  for (let y = box.y0; y < box.y1; y++) {
    const there = label.data.subarray(y * label.width + box.x0, y * label.width + box.x1);
    const kept = bytes.subarray((y - box.y0) * width, (y - box.y0 + 1) * width);
    row.set(there);
    there.set(kept);
    kept.set(row);
  }
}

// The pixels of a box, row by row.
export function cut(label, box) {
  const width = box.x1 - box.x0;
  const bytes = new Uint8Array(width * (box.y1 - box.y0));
  for (let y = box.y0; y < box.y1; y++) {
    const from = y * label.width + box.x0;
    bytes.set(label.data.subarray(from, from + width), (y - box.y0) * width);
  }
  return bytes;
}

// Whether two labels differ within a box: mostly seen at once, in its first row.
export function differ(a, b, box) {
  for (let y = box.y0; y < box.y1; y++) {
    const end = y * a.width + box.x1;
    for (let i = y * a.width + box.x0; i < end; i++) if (a.data[i] !== b.data[i]) return true;
  }
  return false;
}

export class History {
  constructor() {
    this.done = [];
    this.undone = [];
  }

  push(entry) {
    this.done.push(entry);
    this.undone = [];
    let bytes = this.done.reduce((sum, one) => sum + one.bytes.length, 0);
    while (bytes > MOST_BYTES && this.done.length > 1) bytes -= this.done.shift().bytes.length;
  }

  // The box that changed, or null where there is nothing to undo.
  undo(label) {
    return this.step(label, this.done, this.undone);
  }

  redo(label) {
    return this.step(label, this.undone, this.done);
  }

  step(label, from, to) {
    const entry = from.pop();
    if (!entry) return null;
    exchange(label, entry);
    to.push(entry);
    return entry.box;
  }
}
