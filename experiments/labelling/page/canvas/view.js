// Where the picture lies on the screen: screen = picture * scale + offset, in CSS pixels.

const MOST = 40;

export class View {
  constructor() {
    Object.assign(this, { scale: 1, x: 0, y: 0, width: 1, height: 1, screen: { width: 1, height: 1 } });
  }

  // The scale at which all of the picture is seen.
  get whole() {
    const margin = Math.min(24, this.screen.width * 0.03) * 2;
    return Math.min(
      Math.max(16, this.screen.width - margin) / this.width,
      Math.max(16, this.screen.height - margin) / this.height,
      8,
    );
  }

  setPicture(width, height) {
    Object.assign(this, { width, height });
    this.fit();
  }

  // A new size of the screen keeps what is in its middle, or all of the picture.
  setScreen(width, height) {
    const all = Math.abs(this.scale / this.whole - 1) < 1e-3;
    const middle = this.toPicture(this.screen.width / 2, this.screen.height / 2);
    this.screen = { width, height };
    if (all) return this.fit();
    this.x = width / 2 - middle.x * this.scale;
    this.y = height / 2 - middle.y * this.scale;
    return this.keepInSight();
  }

  fit() {
    this.scale = this.whole;
    this.x = (this.screen.width - this.width * this.scale) / 2;
    this.y = (this.screen.height - this.height * this.scale) / 2;
  }

  zoom(factor, x = this.screen.width / 2, y = this.screen.height / 2) {
    const least = Math.min(this.whole, 1) / 2;
    const scale = Math.min(Math.max(this.scale * factor, least), Math.max(MOST, this.whole));
    this.x = x - ((x - this.x) / this.scale) * scale;
    this.y = y - ((y - this.y) / this.scale) * scale;
    this.scale = scale;
    this.keepInSight();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.keepInSight();
  }

  keepInSight() {
    const rest = 48;
    this.x = Math.min(Math.max(this.x, rest - this.width * this.scale), this.screen.width - rest);
    this.y = Math.min(Math.max(this.y, rest - this.height * this.scale), this.screen.height - rest);
  }

  toPicture(x, y) {
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale };
  }

  toScreen({ x, y }) {
    return { x: x * this.scale + this.x, y: y * this.scale + this.y };
  }
}
