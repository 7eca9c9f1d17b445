import csv
import io
import json

import numpy as np
import pytest

from data_pipelines.episodes import Episode
from experiments.reporting import tables
from experiments.reporting.rows import markdown_table, text_table

NAN = float('nan')
ONE = {
  'miou': 40.0,
  'fb_iou': 60.0,
  'class_iou': {'dog': 50.0, 'horse': 30.0},
  'class_episodes': {'dog': 7, 'horse': 3},
  'accuracy': 90.0,
  'sensitivity': 55.5555,
  'specificity': 99.0,
  'auc': NAN,
  'auc_error': NAN,
}
TWO = {**ONE, 'miou': 41.0, 'class_episodes': {'dog': 70, 'horse': 3}}


def test_text_table_lines_up_and_counts_episodes_where_columns_agree():
  lines = text_table(tables.table_rows({'first 10': ONE, 'all 73': TWO}), left=1).splitlines()
  assert lines[0].split() == ['percent', 'first', '10', 'all', '73']
  assert lines[1].split() == ['mIoU', '40.00', '41.00']
  assert lines[2].split() == ['dog', '50.00', '50.00']
  assert lines[3].split() == ['horse', '(3)', '30.00', '30.00']
  assert lines[-1].split() == ['AUC', '-', '-']
  assert len({len(line) for line in lines[:-1]}) == 1


def test_an_interval_lies_below_its_figure():
  known = {**ONE, 'miou_interval': (38.04, 42.06)}
  lines = text_table(tables.table_rows({'a': known, 'b': TWO}), left=1).splitlines()
  assert lines[2].split() == ['95%', 'interval', '38.0', 'to', '42.1', '-']
  rows = list(csv.DictReader(io.StringIO(tables.csv_table({'a': known}))))
  values = {r['figure']: r['value'] for r in rows}
  assert (values['miou_low'], values['miou_high']) == ('38.04', '42.06')
  of_class = {
    **known,
    'class_iou_interval': {'dog': (45.0, 55.0)},
    'f1': 7.0,
    'f1_interval': (6, 8),
  }
  rows = tables.table_rows({'a': of_class})
  assert rows[3:5] == [['  dog (7)', '50.00'], ['    95% interval', '45.0 to 55.0']]
  assert ['  95% interval', '6.0 to 8.0'] == rows[rows.index(['F1', '7.00']) + 1]
  # Where there is less room mIoU alone has one.
  short = tables.table_rows({'a': of_class}, short=True)
  assert sum('interval' in row[0] for row in short) == 1 and len(rows) == len(short) + 2
  lines = list(csv.DictReader(io.StringIO(tables.csv_table({'a': of_class}))))
  values = {(line['figure'], line['class']): float(line['value']) for line in lines}
  assert (values['iou_low', 'dog'], values['iou_high', 'dog'], values['f1_high', '']) == (45, 55, 8)
  unknown = tables.table_rows({'a': {**ONE, 'miou_interval': (NAN, NAN)}})
  assert unknown[2] == ['  95% interval', '-']


def test_a_figure_of_some_episodes_says_of_how_many():
  sizes = {'iou_under_1': 7.0, 'iou_over_20': NAN}
  one, two = (
    {**ONE, **sizes, 'figure_episodes': {'iou_under_1': 3, 'iou_over_20': n}} for n in (0, 1)
  )
  rows = dict(map(tuple, (row[:2] for row in tables.table_rows({'a': one, 'b': two}))))
  assert rows['IoU, object below 1% (3)'] == '7.00' and rows['IoU, object over 20%'] == '-'


def test_every_episode_is_a_line():
  episodes = [Episode('q,1', ('a', 'b'), 1), Episode('q2', ('c', 'd'), 0)]
  rows = {
    'index': np.array([0, 1]),
    'class_id': np.array([1, 0]),
    'counts': np.array([[2, 1, 1, 96], [0, 0, 0, 100]]),
  }
  lines = list(csv.DictReader(io.StringIO(tables.episodes_csv(rows, episodes, ('dog', 'cat')))))
  assert [line['query'] for line in lines] == ['q,1', 'q2']
  assert lines[0] == {
    'episode': '0', 'class': 'cat', 'query': 'q,1', 'supports': '["a", "b"]',
    'true_positive': '2', 'false_positive': '1', 'false_negative': '1', 'true_negative': '96',
    'iou': '50.0000', 'object_share': '3.0000',
  }  # fmt: skip
  assert (lines[1]['iou'], lines[1]['object_share']) == ('', '0.0000')
  assert list(lines[1].values()).count('') == 1
  known = {
    'boundary': np.array([[3, 4, 2, 1, 4, 2], [0, 0, 0, 0, 0, 0]]),
    'mean_probability': np.array([0.25, NAN], np.float32),
    'max_probability': np.array([0.1, NAN], np.float32),
    'presence_score': np.array([-1.5, -np.inf], np.float32),
  }
  text = tables.episodes_csv({**rows, **known}, episodes, ('dog', 'cat'))
  one, other = csv.DictReader(io.StringIO(text))
  assert list(one)[: len(lines[0])] == list(lines[0])  # New columns come last.
  assert {name: one[name] for name in list(one)[len(lines[0]) :]} == {
    'boundary_intersection': '3', 'boundary_union': '4', 'boundary_iou': '75.0000',
    'boundary_f': '50.0000', 'mean_probability': '0.25', 'max_probability': '0.100000001',
    'presence_score': '-1.5',
  }  # fmt: skip
  assert (other['boundary_iou'], other['boundary_f']) == ('', '100.0000')
  assert other['mean_probability'] == other['presence_score'] == ''


def test_markdown_has_a_cell_for_every_column():
  lines = markdown_table(tables.table_rows({'a': ONE, 'b': TWO}), left=1).splitlines()
  assert {line.count('|') for line in lines} == {4}
  assert lines[1] == '| --- | ---: | ---: |'


def test_csv_keeps_every_digit():
  rows = list(csv.DictReader(io.StringIO(tables.csv_table({'a': ONE}))))
  values = {(r['figure'], r['class']): r['value'] for r in rows}
  assert float(values['sensitivity', '']) == 55.5555
  assert float(values['iou', 'horse']) == 30.0


def test_written_json_is_strict_json(tmp_path):
  tables.write_results(tmp_path / 'new', columns={'all 10': ONE}, about={'fold': 2}, episodes='')

  def refuse(word):
    pytest.fail(f'{word} is no JSON')

  record = json.loads((tmp_path / 'new/results.json').read_text(), parse_constant=refuse)
  assert record['fold'] == 2
  assert record['results']['all 10']['auc'] is None
  assert record['results']['all 10']['class_iou'] == {'dog': 50.0, 'horse': 30.0}
  assert {p.name for p in (tmp_path / 'new').iterdir()} == {
    'results.json',
    'results.md',
    'results.csv',
    'episodes.csv',
  }
