// What the pointer, or the cross moved by keys, does to the label with each tool.

import {
  paintFill, paintPolygon, paintRectangle, paintStroke,
} from './canvas/raster.js';

export const TOOLS = ['polygon', 'brush', 'eraser', 'rectangle', 'fill', 'hand'];
const NEAR = { mouse: 10, pen: 12, touch: 22 }; // CSS pixels to the first point: closes a polygon
const TWICE_WITHIN = 450; // ms

export class Tools {
  // `ready()` says whether there is a label to draw on; `hint()` is called when what is not painted
  // yet has changed.
  constructor({ editor, view, ready, hint }) {
    Object.assign(this, { editor, view, ready, hint });
    Object.assign(this, { tool: 'polygon', size: null, number: 1 });
    this.points = []; // of an open polygon
    this.start = null; // of a rectangle, or of a stroke under way
    this.at = null; // where the pointer is
    this.cross = null; // where the keys are, if they draw
    this.held = false;
  }

  choose(tool) {
    this.drop();
    this.tool = tool;
    this.hint();
  }

  // Takes back what is not painted yet; says whether there was something.
  drop() {
    const something = this.points.length > 0 || this.start !== null;
    if (this.start && this.editor.before) this.editor.cancel();
    Object.assign(this, { points: [], start: null, held: false });
    this.hint();
    return something;
  }

  get value() {
    return this.tool === 'eraser' ? 0 : this.number;
  }

  get isBrush() {
    return this.tool === 'brush' || this.tool === 'eraser';
  }

  down(point, event = { pointerType: 'mouse', timeStamp: performance.now() }) {
    if (!this.ready() || this.tool === 'hand') return;
    this.at = point;
    if (this.isBrush) {
      this.editor.begin();
      this.start = point;
      this.brush(point, point);
    } else if (this.tool === 'rectangle') {
      this.start = point;
    } else if (this.tool === 'fill') {
      this.editor.stroke((label) => paintFill(label, point, this.value));
    } else {
      this.addPoint(point, event);
    }
    this.hint();
  }

  brush(from, to) {
    this.editor.paint((label) => paintStroke(label, from, to, this.size / 2, this.value));
  }

  addPoint(point, { pointerType, timeStamp }) {
    const near = NEAR[pointerType] ?? NEAR.mouse;
    const [first, last] = [this.points[0], this.points.at(-1)];
    const closes = this.points.length > 2 && this.apart(first, point) < near;
    const twice = this.points.length > 2 && this.apart(last, point) < near / 2
      && timeStamp - this.clicked < TWICE_WITHIN;
    this.clicked = timeStamp;
    if (closes || twice) return void this.close();
    this.points.push(point);
    this.dragging = true;
  }

  apart(a, b) {
    return Math.hypot(a.x - b.x, a.y - b.y) * this.view.scale;
  }

  // Paints the open polygon; says whether there was one.
  close() {
    const { points } = this;
    this.dragging = false;
    if (points.length < 3) return false;
    this.points = [];
    this.editor.stroke((label) => paintPolygon(label, points, this.value));
    this.hint();
    return true;
  }

  backspace() {
    if (!this.points.pop()) return false;
    this.hint();
    return true;
  }

  move(points) {
    for (const point of points) {
      if (this.isBrush && this.start) {
        this.brush(this.start, point);
        this.start = point;
      } else if (this.tool === 'polygon' && this.dragging && this.points.length) {
        // Drawn in one go, as with a pencil.
        if (this.apart(this.points.at(-1), point) >= 5) this.points.push(point);
      }
      this.at = point;
    }
    this.hint();
  }

  up() {
    if (this.isBrush && this.start) {
      this.start = null;
      this.editor.commit();
    } else if (this.tool === 'rectangle' && this.start) {
      const { start, at } = this;
      this.start = null;
      this.editor.stroke((label) => paintRectangle(label, start, at, this.value));
    } else if (this.tool === 'polygon' && this.dragging) {
      this.dragging = false;
      // A line drawn by hand that comes back to where it began is closed.
      const near = this.points.length > 8 && this.apart(this.points[0], this.points.at(-1)) < 14;
      if (near) this.close();
    }
    this.hint();
  }

  cancel() {
    if (this.tool === 'polygon' && this.points.length) this.points.pop();
    else this.drop();
    this.dragging = false;
    this.hint();
  }

  hover(point) {
    this.at = point;
    this.hint();
  }

  // The keys' cross: the space bar is the button. Brush and rectangle go on until it is pressed again.
  moveCross(dx, dy) {
    const { width, height } = this.editor.label;
    const { x, y } = this.cross;
    this.cross = {
      x: Math.min(Math.max(x + dx, 0), width),
      y: Math.min(Math.max(y + dy, 0), height),
    };
    if (this.held) this.move([this.cross]);
    else this.hover(this.cross);
  }

  pressCross() {
    if (this.held) {
      this.held = false;
      this.up();
      return;
    }
    this.down(this.cross, { pointerType: 'keys', timeStamp: -Infinity });
    this.held = this.isBrush || this.tool === 'rectangle';
    if (!this.held) this.up();
  }

  // What hints.js is to draw.
  describe(color) {
    const hint = { color, cross: this.cross };
    if (this.points.length) hint.polygon = { points: this.points, end: this.at };
    if (this.tool === 'rectangle' && this.start && this.at) {
      hint.rectangle = { a: this.start, b: this.at };
    }
    if (this.isBrush && this.at) hint.ring = { center: this.at, radius: this.size / 2 };
    return hint;
  }
}
