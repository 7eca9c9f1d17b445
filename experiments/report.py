"""Makes one page of results on disk, to go to a reviewer: tables, curves, intervals, pictures.

Needs `pip install '.[report]'`. Examples, from the checkout's folder:

  A run, with the evaluations in its folder:
    python -m experiments.report runs/pascal

  Several evaluations side by side, each two of the same episodes compared:
    python -m experiments.report runs/seed*/evaluation/* --output_dir=seeds

The page is one file, report.html, which loads nothing from anywhere; beside it are figures/ as PNG
and SVG, and tables/ as CSV, Markdown and LaTeX. It has mIoU by fold as the paper lays it out, with
what the paper reports of the same benchmark and shots and the differences; all figures with 95%
intervals; training curves; IoU by class and by object size, reliability, risk and coverage; paired
comparisons; the best, the median and the worst episodes; settings, versions, digests of weights and
commands. It reads what `train` and `evaluate` wrote, of earlier versions too, and evaluates
nothing. Results of several protocols are refused, unless --mix asks for them. A page takes the
place of an earlier one of the same folders that nobody has changed; any other gets a number (-2).
"""

import dataclasses

from experiments.command import app
from experiments.command.flags import config_from_flags, define_flags
from experiments.reporting.page.config import PageConfig

define_flags(PageConfig)


# Words beside the flags: as many folders as a shell makes of `runs/*`.
WORDS = 1000


def main(folders: list[str]) -> None:
  """Makes a page as the flags say, of the folders that words name as well."""
  from experiments.reporting.page.writing import write_page

  config = config_from_flags(PageConfig)
  config = dataclasses.replace(config, results=(*config.results, *folders))
  page, *others = write_page(config)
  print('written:', page, sep='\n  ')
  print(f'  and {len(others)} figures and tables beside it')


if __name__ == '__main__':
  app.run(main, words=WORDS)
