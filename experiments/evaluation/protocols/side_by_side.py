"""Evaluates one network by several protocols, and lays what comes out side by side."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from experiments.evaluation.config import EvaluateConfig
from experiments.evaluation.evaluating import Report, check_episodes, evaluate
from experiments.reporting.rows import markdown_table, text_table
from experiments.reporting.tables import csv_table, json_text, table_rows
from experiments.storage.evaluations import free_folder
from experiments.storage.results import write_marked
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import writable_folder

FILES = ('protocols.json', 'protocols.md', 'protocols.csv')
ABSENT = 0.5  # How many episodes lack the object, where nothing is said.


def evaluate_protocols(config: EvaluateConfig) -> dict[str, Report]:
  """Evaluates by each of `protocols`, prints one table of all of them, and writes it to files.

  Each leaves the results of its own as `evaluate` does. With one shot, distinct episodes are the
  published ones, and are evaluated once.

  Args:
    config: what to evaluate, and its `protocols`.

  Returns:
    {protocol: its report}, in the order in which they were named.

  Raises:
    InputError: as `evaluate`; before the first evaluation where `protocols` names none, or one that
      has no episodes here.
  """
  if not config.protocols:
    raise InputError('`protocols` is empty: name some, such as published,absent')
  configs = {name: protocol_config(config, name) for name in dict.fromkeys(config.protocols)}
  check_episodes(configs.values())
  done: dict[EvaluateConfig, Report] = {}
  reports = {}
  for name, own in configs.items():
    if own not in done:
      print(f'== {name}', flush=True)
      done[own] = evaluate(own)
    reports[name] = done[own]
  columns = {name: report.figures for name, report in reports.items()}
  print('== side by side')
  print(text_table(table_rows(columns, short=True), left=1))
  for line in _facts(reports):
    print(line)
  if not jax.process_index():
    print('written:', *_write(config, reports, columns), sep='\n  ')
  return reports


def protocol_config(config: EvaluateConfig, name: str) -> EvaluateConfig:
  """Returns the configuration of one protocol; where episodes are the same, an equal one.

  Args:
    config: of several protocols.
    name: one of `config.protocols`.

  Returns:
    What `evaluate` takes; with `output_dir`, its results lie in a folder of the protocol's name.
  """
  name = 'published' if name == 'distinct' and config.shots == 1 else name
  changes: Mapping[str, Mapping[str, Any]] = {
    'published': {},
    'distinct': {'protocol': 'distinct'},
    'absent': {'absent': config.absent or ABSENT},
    'cross': {'protocol': 'cross'},
  }
  folder = config.output_dir and str(pathlib.Path(config.output_dir, name))
  plain = {'protocols': (), 'absent': 0.0, 'output_dir': folder}
  return dataclasses.replace(config, **{**plain, **changes[name]})


def _facts(reports: Mapping[str, Report]) -> list[str]:
  """Says of each protocol what it is of."""
  lines = []
  for name, report in reports.items():
    about = report.about
    facts = [f'{about["episodes"]} episodes']
    if name == 'distinct' and about['protocol'] == 'published':
      facts.append('one shot: the published ones')
    if 'absent' in about:
      facts.append(f'{about["absent"]:.0%} of them without the object')
    if 'left_out' in about:
      left_out = ', '.join(about['left_out']) or 'no class'
      facts.append(f'trained on {about["trained_on"]}, left out {left_out}')
    lines.append(f'{name}: {"; ".join(facts)}')
  return lines


def _write(
  config: EvaluateConfig, reports: Mapping[str, Report], columns: Mapping[str, Any]
) -> list[pathlib.Path]:
  """Writes the table beside the results that it is made of."""
  first = next(iter(reports.values())).files[0].parent
  of = {'command': 'evaluate', 'protocols': {n: str(r.files[0].parent) for n, r in reports.items()}}
  wanted = (
    pathlib.Path(config.output_dir).expanduser()
    if config.output_dir
    else first.parent / (f'protocols-{first.name}')
  )
  folder = free_folder(wanted, of=of, files=FILES)
  writable_folder(folder, argument='output_dir')
  facts = ''.join(f'- {line}\n' for line in _facts(reports))
  record = {name: {**reports[name].about, 'results': figures} for name, figures in columns.items()}
  texts = {
    'protocols.json': json_text({'protocols': record}),
    'protocols.md': f'{facts}\n{markdown_table(table_rows(columns), left=1)}\n',
    'protocols.csv': csv_table(columns),
  }
  return [write_marked(folder / name, text, of=of) for name, text in texts.items()]
