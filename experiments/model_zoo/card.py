"""Describes a model on the Hugging Face Hub: the README.md of its repository."""

import json
from collections.abc import Mapping
from typing import Any

from experiments.model_zoo.entry import Entry
from experiments.model_zoo.figures import heading
from experiments.reporting.rows import markdown_table
from experiments.reporting.tables import FIGURES, table_rows

# The Hub's own identifiers; any other license is `other` there, with a name.
_LICENSES = frozenset(
  'afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsl-1.0 cc cc-by-2.0'
  ' cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-4.0 cc-by-nc-sa-4.0'
  ' cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 epl-2.0 eupl-1.1 gpl gpl-2.0 gpl-3.0 isc lgpl'
  ' lgpl-2.1 lgpl-3.0 mit mpl-2.0 openrail unlicense zlib'.split()
)
# Those that the Hub's own tables show; the page has all.
_INDEXED = ('miou', 'fb_iou', 'boundary_iou')
# What a record has beside the recipe.
_NO_RECIPE = ('format_version', 'versions', 'lists', 'figures')
_WEAKEST = 3  # Classes that are named.
_EXAMPLE = """```python
import hsnet_jax as hs

segmenter = hs.Segmenter.from_pretrained('{name}')
segmenter = segmenter.fit(['dog1.jpg'], ['dog1.png'])
found = segmenter.predict('query.jpg')
```"""


def model_card(entry: Entry, *, repo: str) -> str:
  """Writes the card of a model: what it is, reaches, was trained by, and is bad at.

  Args:
    entry: the model's.
    repo: where it will be, such as 'user/dogs'.

  Returns:
    Markdown after metadata in YAML, each value of it written as JSON, which YAML is a superset of.
  """
  metadata = _metadata(entry)
  head = [f'{key}: {json.dumps(value, ensure_ascii=False)}' for key, value in metadata.items()]
  parts = [
    '\n'.join(['---', *head, '---']),
    f'# {entry.name}',
    f'Few-shot segmentation by [HSNet](https://arxiv.org/abs/2104.01538) in JAX, over'
    f' {entry.backbone}: finds in pictures what one or a few others show with an outline.',
    f'```sh\npython -m experiments.zoo pull {entry.name} --repo={repo}\n```',
    _EXAMPLE.format(name=entry.name),
    f'Weights: {_text(entry.source)}. License: {_text(entry.license or "not stated")}.'
    f' `model.safetensors`: {entry.size:,} bytes, SHA-256 `{entry.checksum}`.',
    *_figures(entry),
    '## What it is bad at',
    *_limits(entry),
    '## Recipe',
    'What its checkpoint records.',
    markdown_table([('setting', 'value'), *_recipe(entry.config)], left=2),
  ]
  return '\n\n'.join(parts) + '\n'


def _metadata(entry: Entry) -> dict[str, Any]:
  known = entry.license in _LICENSES
  license = {'license': entry.license} if known else {'license': 'other'}
  if entry.license and not known:
    license['license_name'] = entry.license
  tags = ['few-shot-segmentation', 'hsnet', 'jax', entry.backbone]
  results = [result for one in entry.evaluations if (result := _result(one))['metrics']]
  index = {'model-index': [{'name': entry.name, 'results': results}]} if results else {}
  return {
    **(license if entry.license else {}),
    'library_name': 'hsnet_jax',
    'pipeline_tag': 'image-segmentation',
    'tags': tags + ([entry.benchmark] if entry.benchmark else []),
    **index,
  }


def _result(evaluation: Mapping[str, Any]) -> dict[str, Any]:
  """Returns an evaluation as the Hub's `model-index` has it."""
  figures, benchmark = evaluation['figures'], str(evaluation.get('benchmark'))
  headings = {figure.name: figure.heading for figure in FIGURES}
  metrics = [
    {'type': name, 'name': headings[name], 'value': figures[name]}
    for name in _INDEXED
    if name in figures
  ]
  return {
    'task': {'type': 'image-segmentation', 'name': 'few-shot segmentation'},
    'dataset': {'type': benchmark, 'name': heading(evaluation)},
    'metrics': metrics,
  }


def _figures(entry: Entry) -> list[str]:
  if not entry.evaluations:
    return ['## Figures', 'Nothing that it reaches is measured.']
  parts = ['## Figures', 'In percent; behind each figure the episodes that it is of.']
  for one in entry.evaluations:
    parts.append(markdown_table(table_rows({_text(heading(one)): one['figures']}), left=1))
    if one.get('note'):
      parts.append(f'Note: {_text(one["note"])}.')
  return parts


def _limits(entry: Entry) -> list[str]:
  """Says what a model is bad at: what was said when it was added, and what its figures show."""
  said = [_text(entry.limits)] if entry.limits else []
  if not entry.evaluations:
    return [*said, 'No figure says what to expect of it: try it on pictures of your own first.']
  first = entry.evaluations[0]
  figures, lines = first['figures'], []
  classes = sorted(figures.get('class_iou', {}).items(), key=lambda item: item[1])
  if len(classes) > 1:
    worst = ', '.join(f'{_text(name)} {iou:.1f}' for name, iou in classes[:_WEAKEST])
    lines.append(f'- lowest IoU of its classes: {worst}')
  if 'iou_under_1' in figures:
    lines.append(f'- objects below 1% of the picture: IoU {figures["iou_under_1"]:.1f}')
  if 'left_empty' in figures:
    lines.append(f'- pictures without the object: {figures["left_empty"]:.1f}% are left empty')
  else:
    lines.append('- pictures without the object: not measured; it may mark something in them')
  if not figures.get('miou_interval'):
    lines.append('- its figures have no interval: how far chance moves them is not known')
  return [*said, f'Measured on {_text(heading(first))}:', '\n'.join(lines)]


def _recipe(config: Mapping[str, Any]) -> list[tuple[str, str]]:
  return [
    (_text(name), f'{_text(value if isinstance(value, str) else json.dumps(value))}')
    for name, value in config.items()
    if name not in _NO_RECIPE and value is not None
  ]


def _text(text: str) -> str:
  """Writes a text so that it stays one cell, or one line, and no markup of its own."""
  line = ' '.join(text.split())
  for sign in '\\`*|<>[]':
    line = line.replace(sign, f'\\{sign}')
  return line
