"""Draws docs/rooms.svg from the order that the tests hold: python -m docs.draw_rooms."""

import pathlib

from tests.rooms import ORDER

ROOT = pathlib.Path(__file__).resolve().parents[1]
PICTURE = ROOT / 'docs' / 'rooms.svg'
COLORS = {'experiments': '#fbe6d4', 'data_pipelines': '#dff0dc', 'hsnet_jax': '#dde8f8'}
SAYS = {
  'experiments': 'what is run',
  'data_pipelines': 'what is read',
  'hsnet_jax': 'the library: arrays in, arrays out',
}
# What is in each notion, in a few words.
GLOSS = {
  'a command': 'train evaluate predict sweep prepare episodes convert precision speed ...',
  'command': 'flags, errors, hosts',
  'sweeps': 'search, trials, report',
  'timing': 'step, loader',
  'tiny_backbone': 'how it is trained',
  'reproduction': 'rows of the paper',
  'recovery': 'kills and resumes',
  'storage': 'configs, locks',
  'settings': 'recipes, checks',
  'reporting': 'tables, pictures, the page of a report',
  'evaluation': 'methods, tallies',
  'model_zoo': 'models by name',
  'labelling': 'the page for labels',
  'serving': 'masks over HTTP',
  'catalog': 'the table of benchmarks',
  'prepared': 'record, reader, writer',
  'published': 'VOC COCO FSS',
  'own_pictures': "one's folders",
  'shapes': 'embedded',
  'heldout': 'to choose by',
  'strict': 'to train by',
  'unseen': 'to test by',
  'loading': 'to devices',
  'benchmark': 'what a data set gives',
  'episodes': 'the published draws',
  'splits': 'folds, lists',
  'reading': 'images, masks, files',
  'segmenter': 'fit, predict',
  'baselines': 'other methods',
  'export': 'StableHLO, ONNX',
  'models': 'a network of a checkpoint',
  'inference': 'K shots to masks',
  'metrics': 'a row each',
  'weights': 'published ones',
  'model': 'HSNet, Fig. 2',
  'extensions': 'beyond the paper',
  'encoder': 'Fig. 2, 3',
  'decoder': 'Fig. 2, 3',
  'backbones': 'a file each',
  'correlation': 'Eq. 1, 2',
  'conv4d': 'Eq. 4, Fig. 4',
  'kernels': 'which form where',
  'resize': 'corners aligned',
  'checkpoints': 'Orbax',
  'whole_files': 'all or nothing',
  'errors': 'InputError',
  'api': 'names on first use',
  ('experiments', 'training'): 'config, session, loop, validation',
  ('hsnet_jax', 'training'): 'step, loss, augment',
}
WIDTH, ROW, GAP, TOP = 540, 38, 8, 50


def is_there(package: str, notion: str) -> bool:
  """Says whether a notion of the order has its file or room yet; old paths are no place to look."""
  place = ROOT / package / notion
  if notion == 'moved':
    return False
  return notion == 'a command' or place.is_dir() or place.with_suffix('.py').is_file()


def text(x: float, y: float, words: str, size: int, *, bold: bool = False) -> str:
  """Returns centered words."""
  weight = ' font-weight="bold"' if bold else ''
  return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}"{weight}>{words}</text>'


def house(package: str, x: int, y: int, width: int) -> tuple[list[str], int]:
  """Draws one package, its lowest line at the bottom.

  Args:
    package: its name.
    x: left edge.
    y: upper edge.
    width: of the whole.

  Returns:
    The elements, and the height.
  """
  lines = [[n for n in line if is_there(package, n)] for line in ORDER[package][::-1]]
  lines = [line for line in lines if line]
  height = TOP + len(lines) * (ROW + GAP) + GAP
  color = COLORS[package]
  drawn = [
    f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{color}"'
    ' stroke="#777"/>',
    text(x + width / 2, y + 21, f'{package}/', 17, bold=True),
    text(x + width / 2, y + 38, SAYS[package], 12),
  ]
  for i, line in enumerate(lines):
    room = (width - GAP * (len(line) + 1)) / len(line)
    for j, notion in enumerate(line):
      left, up = x + GAP + j * (room + GAP), y + TOP + i * (ROW + GAP)
      gloss = GLOSS.get((package, notion)) or GLOSS[notion]
      drawn += [
        f'<rect x="{left:.0f}" y="{up}" width="{room:.0f}" height="{ROW}" rx="4" fill="#fff"'
        ' stroke="#999"/>',
        text(
          left + room / 2, up + 16, 'commands' if notion == 'a command' else notion, 13, bold=True
        ),
        text(left + room / 2, up + 31, gloss, 11),
      ]
  return drawn, height


def draw() -> str:
  """Returns the picture as SVG."""
  wide = 2 * WIDTH + 60
  upper, height = house('experiments', 10, 10, wide - 20)
  below = 10 + height + 40
  left, left_height = house('data_pipelines', 10, below, WIDTH)
  right, right_height = house('hsnet_jax', WIDTH + 50, below, WIDTH)
  middle = below + left_height / 2
  arrows = [
    f'<path d="M{x} {below - 40} v36" marker-end="url(#head)"/>'
    for x in (10 + WIDTH / 2, WIDTH + 50 + WIDTH / 2)
  ]
  arrows.append(f'<path d="M{10 + WIDTH} {middle} h36" marker-end="url(#head)"/>')
  total = below + max(left_height, right_height) + 10
  return '\n'.join([
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {total}" width="{wide}"'
    ' font-family="sans-serif" text-anchor="middle">',
    '<title>The rooms: each line imports from the lines below it</title>',
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
    ' orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>',
    f'<rect width="{wide}" height="{total}" fill="#fff"/>',
    *upper,
    *left,
    *right,
    '<g stroke="#000" stroke-width="2" fill="none">',
    *arrows,
    '</g>',
    '</svg>',
    '',
  ])  # fmt: skip


if __name__ == '__main__':
  PICTURE.write_text(draw(), encoding='utf-8')
