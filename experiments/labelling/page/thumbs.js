// Draws masks over the thumbnails in sight, one after the other, in a worker of their own.

import { getMask } from './api.js';
import { Codec } from './canvas/codec.js';
import { tables } from './canvas/paint.js';

const SIDE = 128;
const MOST_PIXELS = 6e6; // decoding a larger mask for a thumbnail is not worth the time

const codec = new Codec();
const wanted = new Map();
let running = false;

function draw(canvas, { width, height, data }, classes) {
  const step = Math.max(width, height) / SIDE;
  [canvas.width, canvas.height] = [width, height].map((side) => Math.max(1, Math.round(side / step)));
  const { fills } = tables(classes);
  const image = new ImageData(canvas.width, canvas.height);
  const out = new Uint32Array(image.data.buffer);
  for (let y = 0, i = 0; y < canvas.height; y++) {
    const row = Math.min(height - 1, Math.floor((y + 0.5) * step)) * width;
    for (let x = 0; x < canvas.width; x++, i++) {
      const number = data[row + Math.min(width - 1, Math.floor((x + 0.5) * step))];
      if (number) out[i] = fills[number];
    }
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
}

async function run() {
  running = true;
  while (wanted.size) {
    const [canvas, { picture, classes }] = wanted.entries().next().value;
    wanted.delete(canvas);
    if (!canvas.isConnected) continue;
    try {
      const { bytes } = await getMask(picture.name);
      if (bytes) draw(canvas, (await codec.decode(bytes)).label, classes);
    } catch {
      // A thumbnail without its mask: asked for again with the next change.
      delete canvas.dataset.shows;
    }
  }
  running = false;
}

// Draws a picture's mask where it is another than what the canvas shows.
export function showMask(canvas, picture, classes) {
  const { name, revision, areas, width, height } = picture;
  const some = Object.keys(areas ?? {}).length > 0 && width * height <= MOST_PIXELS;
  canvas.hidden = !some;
  const shows = JSON.stringify([name, revision, classes.map(({ color }) => color)]);
  if (!some || canvas.dataset.shows === shows) return;
  canvas.dataset.shows = shows;
  wanted.set(canvas, { picture, classes });
  if (!running) run();
}
