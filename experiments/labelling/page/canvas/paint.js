// Shows the picture and the label over it.
//
// The label keeps the picture's full size; only the pixels of the screen are ever computed from it,
// of a stroke those of its box. So a stroke costs as much on 12 megapixels as on one.

const FILL = 110;
const HALO = 0xd8ffffff; // white, a little transparent: seen on every photograph

function rgba(color, alpha) {
  const value = parseInt(color.slice(1), 16);
  const [red, green, blue] = [value >> 16, (value >> 8) & 255, value & 255];
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

// The colors of class numbers, inside and at the edge.
export function tables(classes) {
  const fills = new Uint32Array(256).fill(rgba('#000000', FILL));
  const edges = new Uint32Array(256).fill(rgba('#000000', 255));
  for (const { number, color } of classes) {
    fills[number] = rgba(color, FILL);
    edges[number] = rgba(color, 255);
  }
  return { fills, edges };
}

export class Painter {
  // Two canvases of one size, the picture below the label; `after` is called when a frame is drawn.
  constructor({ photo, mask, view, after }) {
    Object.assign(this, { photo, mask, view, after });
    this.picture = null;
    this.label = null;
    this.box = null;
    this.all = false;
    this.asked = false;
    this.ratio = 1;
    this.setColors([]);
  }

  setColors(classes) {
    Object.assign(this, tables(classes));
    this.viewChanged();
  }

  setPicture(picture, label) {
    this.picture = picture;
    this.label = label;
    this.viewChanged();
  }

  setLabel(label) {
    this.label = label;
    this.viewChanged();
  }

  resize(width, height, ratio) {
    this.ratio = ratio;
    for (const canvas of [this.photo, this.mask]) {
      canvas.width = Math.max(1, Math.round(width * ratio));
      canvas.height = Math.max(1, Math.round(height * ratio));
    }
    this.viewChanged();
  }

  viewChanged() {
    this.all = true;
    this.ask();
  }

  // A box of the label, in its pixels, has changed.
  labelChanged(box) {
    if (!box) return;
    const last = this.box;
    this.box = last
      ? {
        x0: Math.min(last.x0, box.x0), y0: Math.min(last.y0, box.y0),
        x1: Math.max(last.x1, box.x1), y1: Math.max(last.y1, box.y1),
      }
      : box;
    this.ask();
  }

  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => this.frame());
  }

  frame() {
    this.asked = false;
    const { width, height } = this.mask;
    if (this.all) {
      this.drawPicture();
      this.drawLabel(0, 0, width, height);
    } else if (this.box) {
      const edge = this.edgeWidth() + 1;
      const from = this.view.toScreen({ x: this.box.x0, y: this.box.y0 });
      const to = this.view.toScreen({ x: this.box.x1, y: this.box.y1 });
      this.drawLabel(
        Math.max(0, Math.floor(from.x * this.ratio) - edge),
        Math.max(0, Math.floor(from.y * this.ratio) - edge),
        Math.min(width, Math.ceil(to.x * this.ratio) + edge),
        Math.min(height, Math.ceil(to.y * this.ratio) + edge),
      );
    }
    this.all = false;
    this.box = null;
    this.after();
  }

  edgeWidth() {
    return Math.max(1, Math.round(this.ratio * 1.5));
  }

  drawPicture() {
    const context = this.photo.getContext('2d');
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.photo.width, this.photo.height);
    if (!this.picture) return;
    const { scale, x, y, width, height } = this.view;
    const zoom = scale * this.ratio;
    context.imageSmoothingEnabled = zoom < 3; // pixels are seen as such
    context.imageSmoothingQuality = 'medium';
    context.drawImage(this.picture, x * this.ratio, y * this.ratio, width * zoom, height * zoom);
  }

  // For a range of the screen, which column (or row) of the label lies there; -1 beside it.
  places(from, to, offset, size) {
    const zoom = this.view.scale * this.ratio;
    const out = new Int32Array(to - from);
    for (let i = from; i < to; i++) {
      const place = Math.floor((i + 0.5 - offset * this.ratio) / zoom);
      out[i - from] = place >= 0 && place < size ? place : -1;
    }
    return out;
  }

  drawLabel(x0, y0, x1, y1) {
    if (x0 >= x1 || y0 >= y1) return;
    const context = this.mask.getContext('2d');
    if (!this.label) return void context.clearRect(x0, y0, x1 - x0, y1 - y0);
    const { width, height, data } = this.label;
    const edge = this.edgeWidth();
    const columns = this.places(x0 - edge, x1 + edge, this.view.x, width);
    const rows = this.places(y0 - edge, y1 + edge, this.view.y, height);
    const image = new ImageData(x1 - x0, y1 - y0);
    const out = new Uint32Array(image.data.buffer);
    const at = (row, column) => (row < 0 || column < 0 ? 0 : data[row * width + column]);
    for (let y = 0, i = 0; y < y1 - y0; y++) {
      const row = rows[y + edge];
      const above = rows[y];
      const below = rows[y + 2 * edge];
      for (let x = 0; x < x1 - x0; x++, i++) {
        const column = columns[x + edge];
        if (row < 0 || column < 0) continue;
        const own = data[row * width + column];
        const left = at(row, columns[x]);
        const right = at(row, columns[x + 2 * edge]);
        const up = at(above, column);
        const down = at(below, column);
        if (own) {
          const inside = own === left && own === right && own === up && own === down;
          out[i] = inside ? this.fills[own] : this.edges[own];
        } else if (left || right || up || down) {
          out[i] = HALO;
        }
      }
    }
    context.putImageData(image, x0, y0);
  }
}
