"""What a row of the paper's tables is reproduced by, and what is missing for it."""

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

from experiments.reporting.page.published import FOLDS
from experiments.reproduction.config import ReproduceConfig
from experiments.reproduction.plan import folds_of, missing, plan, results_of
from experiments.reproduction.rows import find_row, rows
from tests.facts import refused


@pytest.fixture
def fss(tmp_path):
  """Folders of images and lists: a category in each list."""
  rng = np.random.default_rng(0)
  (tmp_path / 'splits' / 'fss').mkdir(parents=True)
  for split, category in (('trn', 'yak'), ('val', 'cpu'), ('test', 'bus')):
    (tmp_path / 'splits' / 'fss' / f'{split}.txt').write_text(f'{category}\n')
    (tmp_path / 'data' / category).mkdir(parents=True)
    for n in range(1, 11):
      pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
      Image.fromarray(pixels).save(tmp_path / 'data' / category / f'{n}.jpg')
      mask = np.zeros((24, 24), np.uint8)
      mask[4:16, 4 : 8 + n] = 255
      Image.fromarray(mask).save(tmp_path / 'data' / category / f'{n}.png')
  return {'data_dir': str(tmp_path / 'data'), 'splits_dir': str(tmp_path / 'splits')}


def test_all_rows_of_the_papers_tables_are_there(root):
  names = [row.name for row in rows()]
  assert len(names) == len(set(names)) == 18
  table = root / 'experiments' / 'reporting' / 'page' / 'published.csv'
  with table.open() as file:
    published = list(csv.DictReader(file))
  assert len(published) == len(names)
  for line in published:
    masking = '-unmasked' if 'without' in line['method'] else ''
    row = find_row(f'{line["benchmark"]}-{line["backbone"]}{masking}-{line["shots"]}shot')
    assert row.published.miou == float(line['miou']) and row.mask_support == (not masking)
    assert set(row.published.folds) == set(range(FOLDS[row.benchmark]))


def test_each_fold_is_trained_and_evaluated_in_its_own_folder(tmp_path):
  config = ReproduceConfig(output_dir=str(tmp_path), data_dir='d', splits_dir='s', max_steps=5)
  row = find_row('pascal-resnet101-unmasked-5shot')
  steps = plan(config, row)
  assert [step.words[0] for step in steps] == ['train', 'evaluate'] * 4
  assert [step.fold for step in steps] == [0, 0, 1, 1, 2, 2, 3, 3]
  train, evaluate = steps[2:4]
  run = tmp_path / 'pascal-resnet101-unmasked' / 'fold1-5steps'
  assert {f'--run_dir={run}', '--nomask_support', '--backbone=resnet101', '--max_steps=5'} <= set(
    train.words
  )
  assert f'--checkpoint={run / "checkpoints" / "best"}' in evaluate.words
  assert {'--shots=5', '--fold=1', '--data_dir=d', '--splits_dir=s'} <= set(evaluate.words)
  assert len({step.words for step in steps}) == 8


def test_a_published_file_is_converted_and_what_is_done_is_known(tmp_path):
  given = ReproduceConfig(
    output_dir=str(tmp_path), checkpoints='a/{fold}.pt', folds=(2,), episodes=7
  )
  row = find_row('coco-resnet50-1shot')
  convert, evaluate = plan(given, row)
  assert convert.words[0] == 'convert' and '--input=a/2.pt' in convert.words
  assert '--nomask_support' not in convert.words and '--episodes=7' in evaluate.words
  assert not convert.is_done and not evaluate.is_done
  convert.leaves[0].mkdir(parents=True)
  results_of(given, row, 2).mkdir(parents=True)
  (results_of(given, row, 2) / 'results.json').write_text('{}')
  assert not evaluate.is_done  # It is written first.
  (results_of(given, row, 2) / 'episodes.csv').write_text('')
  assert all(step.is_done for step in plan(given, row))
  # Other episodes, another network and other data have results of their own.
  others = {'episodes': None}, {'checkpoints': 'b/{fold}.pt'}, {'data_dir': 'e'}
  for other in others:
    assert not plan(dataclasses.replace(given, **other), row)[-1].is_done
  own = ReproduceConfig(output_dir=str(tmp_path), checkpoints='runs/{fold}/checkpoints/best')
  assert [step.words[0] for step in plan(own, row)] == ['evaluate'] * 4


def test_all_that_is_missing_is_said(fss, tmp_path):
  row = find_row('fss-resnet50-1shot')
  assert missing(ReproduceConfig(**fss), row) == []
  (tmp_path / 'data' / 'bus' / '3.png').unlink()
  config = ReproduceConfig(checkpoints=str(tmp_path / 'none'), **fss)
  found = missing(config, row)
  assert len(found) == 2 and 'no such checkpoint' in found[0] and 'bus' in found[1]
  # What only training reads is missed where it trains.
  (tmp_path / 'data' / 'yak' / '1.png').unlink()
  assert len(missing(config, row)) == 2
  assert any('yak' in line for line in missing(ReproduceConfig(**fss), row))
  nothing = ReproduceConfig(backbone_weights=str(tmp_path / 'none.npz'))
  said = ' '.join(missing(nothing, row))
  assert all(word in said for word in ('data_dir', 'splits_dir', 'none.npz'))


def test_what_there_is_not_is_refused():
  with refused('pascal-resnet50-1shot'):
    find_row('pascal-resnet50-3shot')
  with refused('0 to 3'):
    folds_of(ReproduceConfig(folds=(4,)), find_row('pascal-vgg16-1shot'))
  with refused('{fold}'):
    folds_of(ReproduceConfig(checkpoints='one.pt'), find_row('pascal-vgg16-1shot'))
  assert folds_of(
    ReproduceConfig(checkpoints='one.pt', folds=(1,)), find_row('coco-resnet50-1shot')
  )
  with refused('backbone_weights'):
    ReproduceConfig(checkpoints='x', max_steps=3)


@pytest.mark.heavy  # Real processes.
def test_it_ends_with_the_difference_and_goes_on_where_it_stopped(fss, script, trained, tmp_path):
  checkpoint = trained[0] / 'checkpoints' / 'best'
  flags = ('--row=fss-vgg16-1shot', f'--checkpoints={checkpoint}', '--output_dir=out')
  flags += tuple(f'--{name}={value}' for name, value in fss.items())
  plan_of = script('reproduce', *flags, '--dry_run', cwd=tmp_path)
  assert plan_of.returncode == 0 and 'experiments.evaluate' in plan_of.stdout
  assert not (tmp_path / 'out').exists()
  done = script('reproduce', *flags, cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  page = tmp_path / 'out' / 'fss-vgg16' / 'fss-vgg16-1shot.md'
  text = page.read_text()
  assert (
    '82.3' in text
    and 'backbone tiny, where the paper has vgg16' in text
    and '64 x 64 pixels, where the paper has 400 x 400' in text
  )
  again = script('reproduce', *flags, cwd=tmp_path)
  assert again.returncode == 0 and 'done before' in again.stdout and page.read_text() == text
  failed = script('reproduce', *flags, '--row=fss-vgg16-9shot', cwd=tmp_path)
  assert failed.returncode and 'fss-vgg16-5shot' in failed.stderr
