"""Composes a page of its sections, as HTML in one piece: nothing of it is loaded from elsewhere."""

import base64
import dataclasses
import importlib.resources
from collections.abc import Mapping, Sequence

import hsnet_jax
from experiments.reporting.page import about, layout
from experiments.reporting.page.charts import Chart
from experiments.reporting.page.forms import Table
from experiments.reporting.page.reading import Result, Run

# Rows of the paired table on the page, and columns of any; their files have all of them.
_MOST_ROWS, _MOST_COLUMNS = 120, 8
_CAPTIONS = {
  'episodes.png': 'The first episodes of each class: support, prediction, ground truth.',
  'extremes.png': 'The best, the median and the worst episodes: support, prediction, ground truth.',
}


@dataclasses.dataclass(frozen=True)
class Shown:
  """Holds a picture as the page shows it.

  Attributes:
    title: its heading.
    source: what it is, as a data URI.
    alt: what it shows, for who does not see it.
    caption: how it is read.
  """

  title: str
  source: str
  alt: str
  caption: str


@dataclasses.dataclass(frozen=True)
class Text:
  """Holds a command or a log, word for word, under its title."""

  title: str
  text: str


@dataclasses.dataclass(frozen=True)
class Section:
  """Holds a part of the page: what it shows, in this order.

  Attributes:
    name: its anchor.
    title: its heading.
    lines: paragraphs.
    charts: figures.
    tables: tables.
    pictures: what was drawn of episodes.
    texts: commands and logs.
  """

  name: str
  title: str
  lines: Sequence[str] = ()
  charts: Sequence[Shown] = ()
  tables: Sequence[Table] = ()
  pictures: Sequence[Shown] = ()
  texts: Sequence[Text] = ()

  @property
  def filled(self) -> bool:
    """Says whether there is anything in it."""
    return any((self.lines, self.charts, self.tables, self.pictures, self.texts))


def compose(
  results: Sequence[Result],
  runs: Sequence[Run],
  charts: Sequence[Chart],
  drawn: Mapping[str, bytes],
  *,
  mix: bool,
) -> tuple[list[Section], list[Table]]:
  """Puts tables, figures and pictures into sections.

  Args:
    results: the evaluations.
    runs: the runs.
    charts: the figures.
    drawn: {name of a figure: SVG}.
    mix: whether several protocols are in one table.

  Returns:
    The sections that have anything in them, and all tables, each of which has its files.
  """
  shown = {c.name: Shown(c.title, _uri(drawn[c.name], 'svg+xml'), c.alt, c.caption) for c in charts}
  pick = [n for n in ('sizes', 'size-scatter', 'reliability', 'risk-coverage') if n in shown]
  paper = layout.paper_tables(results, mix=mix)
  figures = [layout.figure_table(results, mix=mix)] if results else []
  classes = layout.class_tables(results)
  paired, without = layout.difference_table(results)
  episodes = layout.episode_table(results)
  whole = [table for result in results for table in layout.whole_tables(result)]
  settings = [about.settings_table(results)] if results else []
  of_runs = about.run_tables(runs) if runs else []
  commands = [Text(f'{r.name}, made again by', about.command_of(r.about)) for r in results]
  logs = [Text(f'{run.name}, as it said', '\n'.join(about.log_of(run))) for run in runs if run.said]
  found = [
    Section('results', 'Results', tables=[*paper, *figures]),
    Section(
      'training',
      'Training',
      charts=[shown[n] for n in ('curves',) if n in shown],
      tables=of_runs[:1],
    ),
    Section('classes', 'Classes', charts=_some(shown, 'classes'), tables=classes),
    Section('behavior', 'Size, calibration, risk', charts=[shown[n] for n in pick]),
    _pairs(paired, without, len(results)),
    Section(
      'episodes', 'Episodes', tables=[episodes] if episodes else [], pictures=_pictures(results)
    ),
    Section(
      'settings',
      'Settings and commands',
      tables=[*settings, *of_runs[1:]],
      texts=[*commands, *logs],
    ),
    Section('all', 'All figures of each evaluation', tables=whole),
  ]
  lists = (paper, figures, of_runs, classes, [paired], [episodes], settings, whole)
  tables = [table for one in lists for table in one if table is not None]
  return [_fitting(section) for section in found if section.filled], tables


def _fitting(section: Section) -> Section:
  """Returns a section whose tables fit on paper: wide ones in parts, each with the first column."""
  parts = [part for table in section.tables for part in _in_parts(table)]
  return dataclasses.replace(section, tables=parts)


def _in_parts(table: Table) -> list[Table]:
  width = len(table.head)
  if width <= _MOST_COLUMNS + 1:
    return [table]
  starts, parts = range(1, width, _MOST_COLUMNS), []
  for number, start in enumerate(starts, 1):
    columns = [0, *range(start, min(start + _MOST_COLUMNS, width))]
    parts.append(
      dataclasses.replace(
        table,
        caption=f'{table.caption} (part {number} of {len(starts)})',
        head=[table.head[i] for i in columns],
        rows=[[row[i] for i in columns] for row in table.rows],
        left=sum(i < table.left for i in columns),
        note=table.note if number == len(starts) else '',
      )
    )
  return parts


def _some(shown: Mapping[str, Shown], name: str) -> list[Shown]:
  return [shown[name]] if name in shown else []


def _pairs(paired: Table | None, without: Sequence[str], number: int) -> Section:
  """Returns the section of paired comparisons; of very many rows those of mIoU alone."""
  lines = []
  if without and number > 1:
    lines.append(f'Without an episodes.csv, and not compared: {", ".join(without)}.')
  if paired is None:
    if number > 1 and len(without) < number - 1:
      lines.append('No two evaluations are of the same episodes: none are compared.')
    return Section('pairs', 'Paired comparison', lines if number > 1 else [])
  if len(paired.rows) > _MOST_ROWS:
    rows = [row for row in paired.rows if row[2] == 'mIoU']
    note = f'{paired.note} Of classes, the files of this table have the same.'
    paired = dataclasses.replace(paired, rows=rows, note=note)
  return Section('pairs', 'Paired comparison', lines, tables=[paired])


def _pictures(results: Sequence[Result]) -> list[Shown]:
  found = []
  for result in results:
    for name, data in sorted(result.pictures.items(), reverse=True):
      caption = _CAPTIONS[name]
      alt = f'Episodes of {result.name}. {caption} Under each its class and IoU.'
      title = f'{result.name}: {name.removesuffix(".png")}'
      found.append(Shown(title, _uri(data, 'jpeg'), alt, caption))
  return found


def _uri(data: bytes, kind: str) -> str:
  return f'data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}'


def html_page(
  sections: Sequence[Section], results: Sequence[Result], runs: Sequence[Run], *, mix: bool
) -> str:
  """Returns the page as HTML.

  Args:
    sections: its parts.
    results: the evaluations, to say what the page is of.
    runs: the runs.
    mix: whether several protocols are in one table, which is pointed out.

  Returns:
    One document, with styles and pictures in it.
  """
  import jinja2  # Optional, as Matplotlib is.

  folder = importlib.resources.files('experiments.reporting.page')
  made = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=False)
  template = made.from_string((folder / 'page.html').read_text(encoding='utf-8'))
  css = (folder / 'page.css').read_text(encoding='utf-8')
  return template.render(
    title='Few-shot segmentation: results',
    css=css,
    summary=_summary(results, runs),
    warnings=_warnings(results, mix=mix),
    sections=sections,
    version=hsnet_jax.__version__,
  )


def _summary(results: Sequence[Result], runs: Sequence[Run]) -> list[str]:
  lines = []
  if results:
    of = dict.fromkeys('{benchmark} fold {fold}, {shots}-shot'.format(**r.about) for r in results)
    lines.append(f'Evaluations: {", ".join(r.name for r in results)}; of {"; ".join(of)}.')
    lines.append(f'Protocol: {"; ".join(dict.fromkeys(r.protocol for r in results))}.')
  if runs:
    lines.append(f'Runs: {", ".join(run.name for run in runs)}.')
  return lines


def _warnings(results: Sequence[Result], *, mix: bool) -> list[str]:
  lines = []
  if mix and len({result.protocol for result in results}) > 1:
    lines.append('Tables mix protocols: numbers of one do not compare with those of another.')
  for note in dict.fromkeys(r.about['note'] for r in results if r.about.get('note')):
    names = [result.name for result in results if result.about.get('note') == note]
    lines.append(f'{", ".join(names)}: {note}.')
  return lines
