// One's own strokes in one picture, back and forth. An entry keeps the pixels of its box as they
// were; undoing exchanges them with what is there.

const MOST_BYTES = 256e6;

function exchange(label, { box, bytes }) {
  const width = box.x1 - box.x0;
  const there = cut(label, box);
  for (let y = box.y0; y < box.y1; y++) {
    const from = (y - box.y0) * width;
    label.data.set(bytes.subarray(from, from + width), y * label.width + box.x0);
  }
  return { box, bytes: there };
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
    to.push(exchange(label, entry));
    return entry.box;
  }
}
