"""Compares two evaluations of the same episodes: what one has more, with its interval.

Example, from the checkout's folder, after two evaluations of one fold:
  python -m experiments.compare --first=runs/pascal/evaluation/hsnet-pascal-fold2-1shot \\
    --second=runs/margin/margin-pascal-fold2-1shot-320px-efficientnet_lite0

Both folders hold an episodes.csv, as `experiments.evaluate` writes it. Printed is mIoU and the IoU
of each class of both, and the difference with its 95% interval: paired, by bootstrap over the query
pictures. Where the interval holds 0, these episodes do not tell which is better.
"""

import pathlib

from absl import flags

from experiments.command import app
from hsnet_jax.errors import InputError

_FIRST = flags.DEFINE_string('first', None, "An evaluation's folder, or its episodes.csv.")
_SECOND = flags.DEFINE_string('second', None, 'The one that it is compared with.')


def main() -> None:
  """Compares as the flags say."""
  from experiments.reporting.paired import paired_rows, read_counted
  from experiments.reporting.rows import text_table

  folders = {'first': _FIRST.value or '', 'second': _SECOND.value or ''}
  for name, folder in folders.items():
    if not folder:
      raise InputError(f'`{name}` is missing: name the folder of an evaluation')
  names = [pathlib.Path(folder).name for folder in folders.values()]
  names = list(folders) if names[0] == names[1] else names
  first, second = (read_counted(folder) for folder in folders.values())
  rows = paired_rows(first, second, names=names)
  pictures = len({query for _, _, query, _ in first.episodes})
  print(f'{len(first.episodes)} episodes, {pictures} query pictures')
  print(text_table(rows, left=1))


if __name__ == '__main__':
  app.run(main)
