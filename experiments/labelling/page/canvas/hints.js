// Draws what is not painted yet over the picture: the brush's ring, an open polygon, a rectangle.

function twoColors(context, draw, color) {
  for (const [style, width] of [['#ffffff', 4], [color, 2]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    draw();
    context.stroke();
  }
}

function drawPolygon(context, { points, end }, color) {
  twoColors(context, () => {
    context.beginPath();
    for (const { x, y } of [...points, ...(end ? [end] : [])]) context.lineTo(x, y);
  }, color);
  points.forEach(({ x, y }, i) => {
    twoColors(context, () => {
      context.beginPath();
      context.arc(x, y, i ? 3 : 7, 0, 2 * Math.PI);
    }, color);
  });
}

function drawCross(context, { x, y }) {
  twoColors(context, () => {
    context.beginPath();
    context.moveTo(x - 14, y);
    context.lineTo(x + 14, y);
    context.moveTo(x, y - 14);
    context.lineTo(x, y + 14);
  }, '#111111');
}

// `hint`: {ring: {center, radius}, polygon: {points, end}, rectangle: {a, b}, cross, color}, each if
// there is one, in the picture's coordinates.
export function drawHints(canvas, view, ratio, hint) {
  const context = canvas.getContext('2d');
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const on = (point) => view.toScreen(point);
  if (hint.polygon) {
    const { points, end } = hint.polygon;
    drawPolygon(context, { points: points.map(on), end: end && on(end) }, hint.color);
  }
  if (hint.rectangle) {
    const [a, b] = [on(hint.rectangle.a), on(hint.rectangle.b)];
    twoColors(context, () => {
      context.beginPath();
      context.rect(a.x, a.y, b.x - a.x, b.y - a.y);
    }, hint.color);
  }
  if (hint.ring) {
    const { x, y } = on(hint.ring.center);
    twoColors(context, () => {
      context.beginPath();
      context.arc(x, y, Math.max(1, hint.ring.radius * view.scale), 0, 2 * Math.PI);
    }, hint.color);
  }
  if (hint.cross) drawCross(context, on(hint.cross));
}
