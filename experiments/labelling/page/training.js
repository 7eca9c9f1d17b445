// The curve of a training: loss against steps, as an SVG.

const NS = 'http://www.w3.org/2000/svg';
const [WIDTH, HEIGHT] = [200, 60];

export function drawCurve(svg, losses) {
  svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  const most = Math.max(...losses, 1e-9);
  const points = losses.map((loss, i) => {
    const x = losses.length > 1 ? (i / (losses.length - 1)) * WIDTH : 0;
    return `${x.toFixed(1)},${(HEIGHT - 2 - (loss / most) * (HEIGHT - 6)).toFixed(1)}`;
  });
  const line = document.createElementNS(NS, 'polyline');
  line.setAttribute('points', points.join(' '));
  svg.replaceChildren(line);
}
