// Paints shapes into a label: {width, height, data: Uint8Array}, a class number at every pixel.
//
// A pixel is painted when its center lies in the shape; nothing is smoothed, so what is painted is
// what is stored. Coordinates are those of the picture: pixel (x, y) covers [x, x+1) x [y, y+1).
// Every function returns the box of pixels that it may have changed, {x0, y0, x1, y1} with the ends
// left out, or null.

export function emptyLabel(width, height) {
  return { width, height, data: new Uint8Array(width * height) };
}

export function unite(a, b) {
  if (!a || !b) return a || b;
  return {
    x0: Math.min(a.x0, b.x0), y0: Math.min(a.y0, b.y0),
    x1: Math.max(a.x1, b.x1), y1: Math.max(a.y1, b.y1),
  };
}

// Paints those pixels of a row whose centers lie in [low, high]; returns their box.
function paintRow(label, y, low, high, value) {
  const x0 = Math.max(0, Math.ceil(low - 0.5));
  const x1 = Math.min(label.width, Math.floor(high - 0.5) + 1);
  if (x0 >= x1) return null;
  label.data.fill(value, y * label.width + x0, y * label.width + x1);
  return { x0, y0: y, x1, y1: y + 1 };
}

function rowsBetween(label, low, high) {
  return [Math.max(0, Math.ceil(low - 0.5)), Math.min(label.height, Math.floor(high - 0.5) + 1)];
}

// A brush drawn from one point to another: all pixels within `radius` of the segment.
export function paintStroke(label, from, to, radius, value) {
  const dx = to.x - from.x;
  const dy = to.y - from.y;
  const length = Math.hypot(dx, dy);
  const nx = length ? (-dy / length) * radius : 0;
  const ny = length ? (dx / length) * radius : 0;
  const corners = [
    [from.x + nx, from.y + ny], [to.x + nx, to.y + ny],
    [to.x - nx, to.y - ny], [from.x - nx, from.y - ny],
  ];
  const [y0, y1] = rowsBetween(
    label, Math.min(from.y, to.y) - radius, Math.max(from.y, to.y) + radius,
  );
  let box = null;
  for (let y = y0; y < y1; y++) {
    const center = y + 0.5;
    // Two discs and the body between them: their union is convex, so a row of it is one interval.
    let low = Infinity;
    let high = -Infinity;
    for (const end of [from, to]) {
      const away = center - end.y;
      const rest = radius * radius - away * away;
      if (rest >= 0) {
        low = Math.min(low, end.x - Math.sqrt(rest));
        high = Math.max(high, end.x + Math.sqrt(rest));
      }
    }
    for (let i = 0; length && i < 4; i++) {
      const [ax, ay] = corners[i];
      const [bx, by] = corners[(i + 1) % 4];
      if (ay !== by && Math.min(ay, by) <= center && center <= Math.max(ay, by)) {
        const x = ax + ((center - ay) / (by - ay)) * (bx - ax);
        low = Math.min(low, x);
        high = Math.max(high, x);
      }
    }
    if (low <= high) box = unite(box, paintRow(label, y, low, high, value));
  }
  return box;
}

export function paintRectangle(label, a, b, value) {
  const [y0, y1] = rowsBetween(label, Math.min(a.y, b.y), Math.max(a.y, b.y));
  let box = null;
  for (let y = y0; y < y1; y++) {
    box = unite(box, paintRow(label, y, Math.min(a.x, b.x), Math.max(a.x, b.x), value));
  }
  return box;
}

// Where a polygon crosses itself, what lies inside an even number of times stays as it was.
export function paintPolygon(label, points, value) {
  if (points.length < 3) return null;
  const ys = points.map((point) => point.y);
  const [y0, y1] = rowsBetween(label, Math.min(...ys), Math.max(...ys));
  let box = null;
  for (let y = y0; y < y1; y++) {
    const center = y + 0.5;
    const crossings = [];
    for (let i = 0; i < points.length; i++) {
      const a = points[i];
      const b = points[(i + 1) % points.length];
      if (a.y <= center !== b.y <= center) {
        crossings.push(a.x + ((center - a.y) / (b.y - a.y)) * (b.x - a.x));
      }
    }
    crossings.sort((one, other) => one - other);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      box = unite(box, paintRow(label, y, crossings[i], crossings[i + 1], value));
    }
  }
  return box;
}

// Fills the region of one class round a point: what hangs together by sides of pixels.
export function paintFill(label, point, value) {
  const { width, height, data } = label;
  const x = Math.floor(point.x);
  const y = Math.floor(point.y);
  if (x < 0 || y < 0 || x >= width || y >= height) return null;
  const old = data[y * width + x];
  if (old === value) return null;
  const stack = [x, y];
  let [left, top, right, bottom] = [x, y, x, y];
  while (stack.length) {
    const row = stack.pop();
    const start = stack.pop();
    const base = row * width;
    if (data[base + start] !== old) continue;
    let x0 = start;
    let x1 = start + 1;
    while (x0 > 0 && data[base + x0 - 1] === old) x0--;
    while (x1 < width && data[base + x1] === old) x1++;
    data.fill(value, base + x0, base + x1);
    [left, right] = [Math.min(left, x0), Math.max(right, x1 - 1)];
    [top, bottom] = [Math.min(top, row), Math.max(bottom, row)];
    for (const next of [row - 1, row + 1]) {
      if (next < 0 || next >= height) continue;
      // One seed for each stretch of the neighboring row.
      for (let at = x0, inside = false; at < x1; at++) {
        const same = data[next * width + at] === old;
        if (same && !inside) stack.push(at, next);
        inside = same;
      }
    }
  }
  return { x0: left, y0: top, x1: right + 1, y1: bottom + 1 };
}

export function isEmpty({ data }) {
  for (let i = 0; i < data.length; i++) if (data[i]) return false;
  return true;
}
