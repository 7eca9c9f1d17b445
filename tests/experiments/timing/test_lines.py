"""The figures that reports keep, and the file they are written to."""

import json

import pytest

from experiments.timing.lines import Line, check_new, spread, write_report
from hsnet_jax.errors import InputError


def test_a_row_is_its_line():
  row = Line('| a | 1 |', name='a', seconds=spread([3.0, 1.0, 2.5]))
  assert row == '| a | 1 |' and row.count('|') == 3
  assert row.values['seconds'] == {
    'median': 2.5,
    'least': 1.0,
    'most': 3.0,
    'each': [3.0, 1.0, 2.5],
  }


def test_a_report_has_its_rows_and_what_they_are_of(tmp_path):
  lines = ['what it is', '| head |', '|---|', Line('| 1 |', number=1), Line('2 in all', number=2)]
  path = tmp_path / 'deep' / 'speed.json'
  check_new(str(path))
  write_report(str(path), lines, settings={'rounds': 3})
  found = json.loads(path.read_text(encoding='utf-8'))
  assert found['rows'] == [{'number': 1}, {'number': 2}] and found['said'] == ['what it is']
  assert found['settings'] == {'rounds': 3} and found['device'] and found['machine']['cores'] > 0
  assert {'jax', 'python', 'hsnet_jax'} <= set(found['versions'])
  assert [p.name for p in path.parent.iterdir()] == ['speed.json']


def test_no_report_is_replaced(tmp_path):
  path = tmp_path / 'speed.json'
  path.write_text('mine', encoding='utf-8')
  with pytest.raises(InputError, match='`json`'):
    check_new(str(path))
  with pytest.raises(InputError, match='`json`'):
    check_new(str(path / 'below'))
