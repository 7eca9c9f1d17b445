"""Writes a page of results, its figures and its tables, and replaces nothing of anyone else."""

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from experiments.reporting.page.charts import Chart, charts_of
from experiments.reporting.page.config import PageConfig
from experiments.reporting.page.forms import FORMS, Table
from experiments.reporting.page.reading import read_all
from experiments.reporting.page.sections import compose, html_page
from experiments.storage.evaluations import free_folder
from experiments.storage.results import mark, write_png
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import writable_folder, write_text

PAGE = 'report.html'
# A salt makes the same SVG of the same figure.
_SVG: Any = {'svg.hashsalt': 'hsnet_jax', 'svg.fonttype': 'path'}


def write_page(config: PageConfig) -> tuple[pathlib.Path, ...]:
  """Reads results, and writes a page of them with its figures and tables.

  Args:
    config: of what, and where to.

  Returns:
    The files: the page first, `figures/NAME.png` and `.svg`, `tables/NAME.csv`, `.md` and `.tex`.

  Raises:
    InputError: a folder holds no results, a figure is no number, protocols are mixed, or what is
      needed to draw is not installed.
  """
  _check_installed()
  results, runs = read_all(config.results, mix=config.mix)
  charts = charts_of(results, runs)
  svgs = {chart.name: _save(chart, 'svg') for chart in charts}
  sections, tables = compose(results, runs, charts, svgs, mix=config.mix)
  texts = {PAGE: html_page(sections, results, runs, mix=config.mix)}
  texts |= {f'figures/{name}.svg': svg.decode('utf-8') for name, svg in svgs.items()}
  for stem, table in _named(tables):
    texts |= {f'tables/{stem}.{ending}': form(table) for ending, form in FORMS.items()}
  pictures = {f'figures/{chart.name}.png': _save(chart, 'png') for chart in charts}
  # A page follows its folders: the same ones again take its place.
  folders = [str(one.folder.resolve()) for one in (*results, *runs)]
  of = {'command': 'report', 'results': folders, 'mix': config.mix}
  place = free_folder(_wanted(config), of=of, files=[*texts, *pictures])
  return tuple(_write(place, texts, pictures, of))


def _check_installed() -> None:
  try:
    import jinja2  # noqa: F401
    import matplotlib  # noqa: F401
  except ImportError as error:
    raise InputError(f"{error.name} is not installed: pip install 'hsnet-jax[report]'") from error


def _wanted(config: PageConfig) -> pathlib.Path:
  if config.output_dir:
    return pathlib.Path(config.output_dir).expanduser()
  first, *others = config.results
  if others:
    return pathlib.Path('runs', 'report')
  folder = pathlib.Path(first).expanduser().resolve()
  return folder.with_name(f'{folder.name}-report')


def _named(tables: Sequence[Table]) -> list[tuple[str, Table]]:
  """Returns tables with the names of their files; of two alike the later one has a number."""
  found: dict[str, Table] = {}
  for table in tables:
    stem, number = table.name, 1
    while stem.casefold() in {name.casefold() for name in found}:
      number += 1
      stem = f'{table.name}-{number}'
    found[stem] = table
  return list(found.items())


def _save(chart: Chart, ending: str) -> bytes:
  import matplotlib

  drawn = io.BytesIO()
  # Without its date, the same results make the same file.
  metadata = {'Date': None} if ending == 'svg' else None
  with matplotlib.rc_context(_SVG):
    chart.figure.savefig(drawn, format=ending, dpi=200, metadata=metadata)
  return drawn.getvalue()


def _write(
  folder: pathlib.Path,
  texts: Mapping[str, str],
  pictures: Mapping[str, bytes],
  of: Mapping[str, Any],
) -> list[pathlib.Path]:
  for path in {(folder / name).parent for name in (*texts, *pictures)}:
    writable_folder(path, argument='output_dir')
  for name, text in texts.items():
    write_text(folder / name, text)
    mark(folder / name, of=of)
  for name, data in pictures.items():
    with Image.open(io.BytesIO(data)) as image:
      write_png(folder / name, image, of=of)
  return [folder / name for name in (*texts, *pictures)]
