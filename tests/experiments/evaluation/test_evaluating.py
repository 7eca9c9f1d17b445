"""Evaluating in this process: checkpoints of made weights, on shapes and on a made VOC2012."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest

import hsnet_jax
from experiments.evaluation import evaluating
from experiments.evaluation.config import EvaluateConfig
from experiments.evaluation.evaluating import Report, evaluate
from experiments.evaluation.methods import METHODS, Method
from experiments.reporting.tables import PIXELS
from experiments.storage.configs import from_json, to_json
from hsnet_jax.checkpoints import load_checkpoint, save_checkpoint
from hsnet_jax.errors import InputError
from hsnet_jax.metrics import METRICS
from tests.experiments.evaluation.given import size_of

NOTE = 'the checkpoint was chosen on these very test episodes'


def written(folder):
  return json.loads((folder / 'results.json').read_text())


@pytest.fixture
def on_voc(run, voc, tmp_path):
  """An evaluation of three episodes of the made photographs."""
  return EvaluateConfig(
    checkpoint=str(run),
    benchmark='pascal',
    data_dir=str(voc),
    splits_dir=f'{voc}/lists',
    fold=0,
    episodes=3,
    image_size=64,
    batch_size=2,
    output_dir=str(tmp_path / 'out'),
  )


def test_a_checkpoint_is_evaluated_where_it_was_trained(run, capsys):
  config = EvaluateConfig(
    checkpoint=str(run), episodes=5, also_first=(3,), pictures=2, batch_size=2
  )
  report = evaluate(config)
  assert isinstance(report, Report)
  results = run / 'evaluation' / 'hsnet-shapes-fold1-1shot-5episodes'
  record = written(results)
  expected = {'benchmark': 'shapes', 'fold': 1, 'shots': 1, 'step': 3, 'image_size': 64}
  expected |= {'validation': 'published', 'note': NOTE, 'episodes': 5, 'model': 'hsnet'}
  assert {key: record[key] for key in expected} == expected
  assert list(record['results']) == ['first 3', 'all 5']
  figures = record['results']['all 5']
  # What is no number is null in the file.
  assert figures == json.loads(json.dumps(report.figures).replace('NaN', 'null'))
  assert record | report.about == record
  low, high = figures['miou_interval']
  assert 0 <= low <= figures['miou'] <= high <= 100
  lines = list(csv.DictReader((results / 'episodes.csv').read_text(encoding='utf-8').splitlines()))
  assert [int(line['episode']) for line in lines] == [0, 1, 2, 3, 4]
  # Everything can be made again of the lines: here the pixels that are the object or are marked.
  tp, fp, fn = (
    sum(int(line[k]) for line in lines)
    for k in ('true_positive', 'false_positive', 'false_negative')
  )
  assert figures['sensitivity'] == pytest.approx(100 * tp / (tp + fn))
  assert figures['precision'] == pytest.approx(100 * tp / (tp + fp))
  sizes = [float(line['object_share']) for line in lines]
  assert figures['figure_episodes']['iou_5_to_20'] == sum(5 <= share < 20 for share in sizes)
  for line in lines:
    assert 0 <= float(line['mean_probability']) <= float(line['max_probability']) <= 1
    assert 0 <= int(line['boundary_intersection']) <= int(line['boundary_union'])
  pixels = sum(int(line[name]) for line in lines for name in PIXELS)
  assert sum(row['pixels'] for row in figures['reliability']) == pixels
  assert len(figures['class_iou']) == 5 and sum(figures['class_episodes'].values()) == 5
  names = [figure.name for metric in METRICS.values() for figure in metric.figures]
  assert {'miou', 'fb_iou', 'accuracy', 'sensitivity', 'specificity', 'auc'} <= set(names)
  by_size = {name for name, n in figures['figure_episodes'].items() if not n}
  for name in {*names} - by_size:
    assert 0 <= figures[name] <= 100, name
    if name != 'auc':
      low, high = figures[f'{name}_interval']
      assert 0 <= low <= figures[name] + 1e-9 and figures[name] - 1e-9 <= high <= 100, name
  assert {path.name for path in report.files} == {
    *('results.json', 'results.md', 'results.csv'),
    *('episodes.csv', 'episodes.png', 'extremes.png'),
  }  # fmt: skip
  said = capsys.readouterr().out
  for words in ('mIoU', 'FB-IoU', 'AUC', NOTE, str(results / 'episodes.png'), '5 of shapes fold 1'):
    assert words in said
  assert size_of(results / 'episodes.png')[0] > 500
  # A line of them each: the best, the median and the worst.
  assert size_of(results / 'extremes.png')[1] > 3 * 176


@pytest.mark.heavy
def test_five_shots_of_a_checkpoint_that_was_not_chosen(run, tmp_path):
  last = run / 'checkpoints' / 'last'
  config = EvaluateConfig(
    checkpoint=str(last), shots=5, episodes=3, batch_size=2, output_dir=str(tmp_path)
  )
  about = evaluate(config).about
  assert about['shots'] == 5 and about['checkpoint'] == str(last)
  assert 'note' not in about and written(tmp_path)['shots'] == 5


@pytest.mark.heavy
def test_where_objects_may_be_absent_scores_are_told(tmp_path):
  config = EvaluateConfig(
    model='disc',
    benchmark='shapes',
    fold=0,
    episodes=12,
    absent=0.5,
    image_size=64,
    batch_size=4,
    output_dir=str(tmp_path),
  )
  figures = evaluate(config).figures
  lines = list(csv.DictReader((tmp_path / 'episodes.csv').read_text('utf-8').splitlines()))
  assert all(np.isfinite(float(line['presence_score'])) for line in lines)
  lost = [100 - float(line['iou']) for line in lines]  # A disc is never empty.
  assert figures['risk_coverage'][-1]['risk'] == pytest.approx(np.mean(lost), abs=1e-3)
  for name in ('presence_auc', 'found', 'left_empty', 'false_area', 'aurc'):
    low, high = written(tmp_path)['results']['all 12'][f'{name}_interval']
    assert low <= figures[name] <= high


def test_another_fold_of_the_benchmark_is_warned_of(run, tmp_path):
  config = EvaluateConfig(
    checkpoint=str(run), fold=0, episodes=1, batch_size=2, output_dir=str(tmp_path)
  )
  with pytest.warns(UserWarning, match='fold 1'):
    assert 'note' not in evaluate(config).about


@pytest.mark.heavy
def test_the_prototype_needs_no_checkpoint(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  report = evaluate(
    EvaluateConfig(
      model='prototype',
      random_backbone=True,
      image_size=64,
      threshold_episodes=4,
      episodes=4,
      batch_size=2,
    )
  )
  record = written(tmp_path / 'runs/prototype/prototype-shapes-fold0-1shot-4episodes-64px-tiny')
  assert -1 <= record['threshold'] <= 1 and record['threshold'] == report.about['threshold']
  assert f'threshold {record["threshold"]:.4f}, mIoU' in capsys.readouterr().out
  assert record['checkpoint'] is None


@pytest.mark.heavy
def test_photographs_of_another_benchmark(on_voc):
  figures = evaluate(on_voc).figures
  assert figures['class_episodes'] == {
    'aeroplane': 2, 'bicycle': 1, 'bird': 0, 'boat': 0, 'bottle': 0
  }  # fmt: skip
  assert figures['class_iou']['boat'] == 0


@pytest.mark.heavy  # Compiles for sizes of its own; counting.py's tests have them, too.
@pytest.mark.parametrize('model', METHODS)
def test_photographs_are_judged_at_their_own_size(on_voc, tmp_path, model, capsys):
  own = dataclasses.replace(on_voc, model=model, threshold_episodes=2, original_size=True)
  report = evaluate(own)
  assert "judged at each photograph's own size" in capsys.readouterr().out
  record = written(tmp_path / 'out')
  assert record['original_size'] is True and 0 <= record['results']['all 3']['miou'] <= 100
  shown = report.evaluation.panels[0]
  assert shown.query.shape[:2] == shown.target.shape and shown.query.shape[0] == 50


def test_a_class_with_one_image_and_a_missing_mask_are_named(on_voc, voc, tmp_path):
  folder = tmp_path / 'voc'
  shutil.copytree(voc, folder)
  moved = dataclasses.replace(on_voc, data_dir=str(folder), splits_dir=f'{folder}/lists')
  mask = folder / 'SegmentationClassAug' / '2.png'
  mask.rename(folder / 'away.png')
  with pytest.raises(InputError, match=r'2\.png'):
    evaluate(moved)
  (folder / 'away.png').rename(mask)
  (folder / 'lists/pascal/val/fold0.txt').write_text('0__01\n1__01\n3__02\n')
  with pytest.raises(InputError, match='bicycle'):
    evaluate(moved)
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  'given, facts',
  [
    ({'checkpoint': None}, 'checkpoint'),
    ({'checkpoint': 'nowhere'}, 'nowhere'),
    ({'backbone': 'vgg16'}, 'tiny.*vgg16'),
    ({'fold': 9}, 'fold 9'),
    ({'also_first': (0,)}, '`also_first`=0'),
    ({'also_first': (3,), 'episodes': 3}, '`also_first`=3: .* 3 episodes'),
    ({'random_backbone': True}, 'checkpoint brings its backbone'),
    ({'backbone_weights': 'x.npz'}, 'checkpoint brings its backbone'),
    ({'model': 'prototype', 'random_backbone': True}, 'checkpoint brings its backbone'),
    ({'model': 'oracle'}, '`model`=oracle.*hsnet, prototype'),
    ({'episodes': 0}, '`episodes`=0'),
  ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(run, tmp_path, given, facts):
  given = {'checkpoint': str(run), 'output_dir': str(tmp_path / 'out'), **given}
  with pytest.raises(InputError, match=facts):
    evaluate(EvaluateConfig(**given))
  assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_does_not_say_its_fold_needs_it(run, tmp_path):
  variables = load_checkpoint(run / 'checkpoints' / 'best').variables
  save_checkpoint(tmp_path / 'made', variables, config={'backbone': 'tiny', 'image_size': 64})
  config = EvaluateConfig(
    checkpoint=str(tmp_path / 'made'), batch_size=2, episodes=2, output_dir=str(tmp_path)
  )
  for given in ({}, {'benchmark': 'shapes'}, {'fold': 1}):
    with pytest.raises(InputError, match='`benchmark` and `fold`'):
      evaluate(dataclasses.replace(config, **given))
  assert evaluate(dataclasses.replace(config, benchmark='shapes', fold=1)).about['note'] == NOTE


def test_a_configuration_goes_through_json(on_voc):
  held = json.loads(json.dumps(to_json(dataclasses.replace(on_voc, also_first=(1, 2)))))
  assert from_json(EvaluateConfig, held, source='x') == dataclasses.replace(
    on_voc, also_first=(1, 2)
  )
  with pytest.raises(InputError, match='x: .*`episodes`'):
    from_json(EvaluateConfig, held | {'episodes': 'all'}, source='x')


def test_every_method_gives_logits_of_a_batch(run):
  for method in METHODS.values():
    assert callable(method.load(method.logits))
    assert not method.fit or callable(method.load(method.fit))
  assert np.all([METHODS['hsnet'].trained, METHODS['prototype'].fit])


def test_a_method_finds_its_functions_by_their_names():
  method = Method('hsnet_jax.inference', 'episode_logits')
  assert method.load(method.logits) is hsnet_jax.episode_logits
  for row in METHODS.values():
    assert all(callable(row.load(name)) for name in (row.logits, row.fit) if name)


class Seen(Exception):
  """Ends a command where a test has seen what it wanted to."""


def test_supports_are_cut_and_combined_as_the_checkpoint_says(run, tmp_path, monkeypatch):
  loaded = evaluating.load_model(run)
  record = {**loaded.config, 'support_margin': 0.2, 'combine': 'mean'}
  model = dataclasses.replace(loaded, config=record)
  monkeypatch.setattr(evaluating, 'load_model', lambda *args, **options: model)
  made = evaluating.eval_batches

  def batches(benchmark, **options):
    assert options['support_margin'] == 0.2
    return made(benchmark, **options)

  def bound(*args):
    raise Seen(args[-1])

  monkeypatch.setattr(evaluating, 'eval_batches', batches)
  monkeypatch.setattr(evaluating, 'BoundLogits', bound)
  for shots, combine in ((1, 'vote'), (2, 'mean')):
    config = EvaluateConfig(
      checkpoint=str(run), shots=shots, episodes=2, output_dir=str(tmp_path / f'{shots}')
    )
    with pytest.raises(Seen) as seen:
      evaluate(config)
    assert seen.value.args == (combine,)


@pytest.mark.parametrize(
  'asked, expected', [({}, None), ({'absent': 0.5}, 0.2), ({'presence_threshold': 0.1}, 0.1)]
)
def test_presence_is_judged_where_pictures_may_lack_the_object(
  run, tmp_path, monkeypatch, asked, expected
):
  loaded = evaluating.load_model(run)
  model = dataclasses.replace(loaded, config={**loaded.config, 'presence_threshold': 0.2})
  monkeypatch.setattr(evaluating, 'load_model', lambda *args, **options: model)

  def bound(function, module, *args):
    raise Seen(module.presence_threshold)

  monkeypatch.setattr(evaluating, 'BoundLogits', bound)
  config = EvaluateConfig(checkpoint=str(run), episodes=2, output_dir=str(tmp_path / 'o'), **asked)
  with pytest.raises(Seen) as seen:
    evaluate(config)
  assert seen.value.args == (expected,)
