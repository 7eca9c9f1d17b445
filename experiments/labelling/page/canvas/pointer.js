// Mouse, pen and touch on the picture: one finger (or the left button) draws, two fingers, the wheel,
// the middle button or the space bar move and zoom.

const TWO_FINGERS_WITHIN = 300; // ms: a second finger this soon takes the stroke of the first back

export class Pointer {
  // `draw` has down(point), move(points), up(), cancel(), hover(point or null); points are the picture's.
  constructor({ stage, view, draw, changed }) {
    Object.assign(this, { stage, view, draw, changed });
    this.fingers = new Map();
    this.doing = null; // 'draw' or 'pan'
    this.hand = false; // whether the left button moves the picture
    stage.addEventListener('pointerdown', (event) => this.down(event));
    stage.addEventListener('pointermove', (event) => this.move(event));
    stage.addEventListener('pointerup', (event) => this.up(event));
    stage.addEventListener('pointercancel', (event) => this.up(event, true));
    stage.addEventListener('pointerleave', () => this.draw.hover(null));
    stage.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    stage.addEventListener('contextmenu', (event) => event.preventDefault());
  }

  place(event) {
    const box = this.stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  point(event) {
    const { x, y } = this.place(event);
    return this.view.toPicture(x, y);
  }

  down(event) {
    if (event.target.closest('button, dialog, input, .banner')) return;
    event.preventDefault();
    this.stage.focus({ preventScroll: true });
    try {
      this.stage.setPointerCapture(event.pointerId);
    } catch {
      // A pointer that is gone already, or one made by a script: nothing to hold.
    }
    this.fingers.set(event.pointerId, this.place(event));
    if (this.fingers.size === 2) {
      if (this.doing === 'draw') {
        if (event.timeStamp - this.began < TWO_FINGERS_WITHIN) this.draw.cancel();
        else this.draw.up();
      }
      this.doing = 'pan';
    } else if (this.fingers.size === 1) {
      this.began = event.timeStamp;
      const moves = this.hand || event.button === 1 || event.button === 2;
      this.doing = moves ? 'pan' : 'draw';
      if (!moves) this.draw.down(this.point(event), event);
    }
  }

  move(event) {
    if (!this.fingers.has(event.pointerId)) {
      if (event.pointerType !== 'touch') this.draw.hover(this.point(event));
      return;
    }
    if (this.doing === 'draw') {
      const passed = event.getCoalescedEvents?.() ?? [];
      this.draw.move((passed.length ? passed : [event]).map((one) => this.point(one)));
    } else if (this.doing === 'pan') {
      this.panOrPinch(event);
    }
    this.fingers.set(event.pointerId, this.place(event));
  }

  panOrPinch(event) {
    const before = this.fingers.get(event.pointerId);
    const now = this.place(event);
    const other = [...this.fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const length = (a) => Math.max(1, Math.hypot(a.x - other.x, a.y - other.y));
      this.view.zoom(length(now) / length(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
      this.view.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    } else {
      this.view.pan(now.x - before.x, now.y - before.y);
    }
    this.changed();
  }

  up(event, lost = false) {
    if (!this.fingers.delete(event.pointerId)) return;
    if (this.doing === 'draw') {
      if (lost) this.draw.cancel();
      else this.draw.up();
    }
    // The finger that is left after two draws nothing.
    this.doing = this.fingers.size && this.doing === 'pan' ? 'pan' : null;
    if (event.pointerType === 'touch') this.draw.hover(null);
  }

  wheel(event) {
    event.preventDefault();
    const { x, y } = this.place(event);
    const pixels = event.deltaMode === 1 ? 30 : event.deltaMode === 2 ? 300 : 1;
    if (event.shiftKey) this.view.pan(-event.deltaY * pixels, -event.deltaX * pixels);
    else this.view.zoom(Math.exp(-event.deltaY * pixels * (event.ctrlKey ? 0.01 : 0.0015)), x, y);
    this.changed();
  }
}
