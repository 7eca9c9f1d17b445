"""experiments/evaluate.py from end to end, on shapes and on a made VOC2012 folder."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from hsnet_jax.checkpoints import load_checkpoint, save_checkpoint

NOTE = 'the checkpoint was chosen on these very test episodes'


def evaluate(script, *args, **options):
  done = script('evaluate', '--batch_size=2', *args, **options)
  assert done.returncode == 0, done.stderr
  return done.stdout


@pytest.fixture(scope='module')
def voc(tmp_path_factory):
  """A folder like VOC2012 of three classes of fold 0, the last with a single image."""
  folder = tmp_path_factory.mktemp('voc')
  rng = np.random.default_rng(0)
  for name in ('JPEGImages', 'SegmentationClassAug', 'lists/pascal/trn', 'lists/pascal/val'):
    (folder / name).mkdir(parents=True)
  lines = {}
  for number, (fold, class_id) in enumerate([(0, 1), (0, 1), (0, 2), (0, 2), (1, 6), (1, 6)]):
    image = rng.integers(0, 256, (50, 70 + number, 3), np.uint8)
    label = np.zeros((50, 70 + number), np.uint8)
    label[10:30, 20:50] = class_id
    label[30:32, 20:50] = 255
    Image.fromarray(image).save(folder / 'JPEGImages' / f'{number}.jpg')
    Image.fromarray(label).save(folder / 'SegmentationClassAug' / f'{number}.png')
    lines.setdefault(fold, []).append(f'{number}__{class_id:02d}\n')
  for fold in range(4):
    other = lines.get(fold, [f'0__{5 * fold + 1:02d}\n', f'1__{5 * fold + 1:02d}\n'])
    for part in ('trn', 'val'):
      (folder / f'lists/pascal/{part}/fold{fold}.txt').write_text(''.join(other))
  return folder


def test_a_checkpoint_is_evaluated_where_it_was_trained(script, trained):
  folder, _ = trained
  said = evaluate(
    script, f'--checkpoint={folder}', '--episodes=5', '--also_first=3', '--pictures=2'
  )
  results = folder / 'evaluation' / 'hsnet-shapes-fold1-1shot'
  record = json.loads((results / 'results.json').read_text())
  expected = {'benchmark': 'shapes', 'fold': 1, 'shots': 1, 'step': 3, 'image_size': 64}
  expected |= {'validation': 'published', 'note': NOTE}
  assert {key: record[key] for key in expected} == expected
  assert list(record['results']) == ['first 3', 'all 5']
  figures = record['results']['all 5']
  assert len(figures['class_iou']) == 5 and sum(figures['class_episodes'].values()) == 5
  for name in ('miou', 'fb_iou', 'accuracy', 'sensitivity', 'specificity', 'auc'):
    assert 0 <= figures[name] <= 100
  for words in ('mIoU', 'FB-IoU', 'AUC', NOTE, str(results / 'episodes.png')):
    assert words in said
  assert Image.open(results / 'episodes.png').width > 500


def test_five_shots(served, trained, tmp_path):
  args = [f'--checkpoint={trained[0]}/checkpoints/last', '--shots=5', '--episodes=3']
  evaluate(served, *args, f'--output_dir={tmp_path}')
  record = json.loads((tmp_path / 'results.json').read_text())
  assert record['shots'] == 5 and record['checkpoint'].endswith('last')
  assert 'note' not in record  # The last was not chosen.


def test_the_prototype_needs_no_checkpoint(served, tmp_path):
  args = ['--model=prototype', '--random_backbone', '--image_size=64', '--threshold_episodes=4']
  said = evaluate(served, *args, '--episodes=4', cwd=tmp_path)
  assert 'threshold' in said
  folder = tmp_path / 'runs/prototype/prototype-shapes-fold0-1shot-tiny'
  assert -1 <= json.loads((folder / 'results.json').read_text())['threshold'] <= 1


def test_photographs_of_another_benchmark(served, trained, voc, tmp_path):
  args = [f'--checkpoint={trained[0]}', '--benchmark=pascal', f'--data_dir={voc}', '--fold=0']
  args += [f'--splits_dir={voc}/lists', '--episodes=3', '--image_size=64']
  evaluate(served, *args, f'--output_dir={tmp_path / "out"}')
  figures = json.loads((tmp_path / 'out/results.json').read_text())['results']['all 3']
  assert figures['class_episodes'] == {
    'aeroplane': 2, 'bicycle': 1, 'bird': 0, 'boat': 0, 'bottle': 0
  }  # fmt: skip
  assert figures['class_iou']['boat'] == 0


@pytest.mark.parametrize('model', ['hsnet', 'prototype'])
def test_photographs_are_judged_at_their_own_size(served, trained, voc, tmp_path, model):
  args = [f'--checkpoint={trained[0]}', '--benchmark=pascal', f'--data_dir={voc}', '--fold=0']
  args += [f'--splits_dir={voc}/lists', '--episodes=3', '--image_size=64', f'--model={model}']
  args += ['--threshold_episodes=2', '--original_size', f'--output_dir={tmp_path}']
  said = evaluate(served, *args)
  assert "judged at each photograph's own size" in said
  record = json.loads((tmp_path / 'results.json').read_text())
  assert record['original_size'] is True and 0 <= record['results']['all 3']['miou'] <= 100
  assert Image.open(tmp_path / 'episodes.png').width > 500


def test_a_class_with_one_image_and_a_missing_mask_are_named(
  script, served, failure, trained, voc, tmp_path
):
  folder = tmp_path / 'voc'
  shutil.copytree(voc, folder)
  args = [f'--checkpoint={trained[0]}', '--benchmark=pascal', f'--data_dir={folder}', '--fold=0']
  args += [f'--splits_dir={folder}/lists', '--episodes=3', '--output_dir=out']
  mask = folder / 'SegmentationClassAug' / '2.png'
  mask.rename(folder / 'away.png')
  assert '2.png' in failure(served('evaluate', *args, cwd=tmp_path))
  (folder / 'away.png').rename(mask)
  (folder / 'lists/pascal/val/fold0.txt').write_text('0__01\n1__01\n3__02\n')
  assert 'bicycle' in failure(served('evaluate', *args, cwd=tmp_path))
  # In training such a class is left out, with a warning.
  (folder / 'lists/pascal/trn/fold1.txt').write_text('4__06\n5__06\n3__07\n')
  train = ['--benchmark=pascal', f'--data_dir={folder}', f'--splits_dir={folder}/lists', '--fold=2']
  done = script('train', *train, '--backbone=none', '--run_dir=run', cwd=tmp_path)
  assert "unknown backbone 'none'" in failure(done)
  assert done.stderr.count('warning:') == 1 and "'car'" in done.stderr
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  'args, words',
  [
    ([], '--checkpoint is missing'),
    (['--checkpoint=nowhere'], 'nowhere: there is no such checkpoint'),
    (['--checkpoint=RUN', '--backbone=vgg16'], 'of tiny, not of vgg16'),
    (['--checkpoint=RUN', '--fold=9'], 'fold 9 is out of range'),
    (['--checkpoint=RUN', '--also_first=0'], '--also_first'),
    (['--checkpoint=RUN', '--also_first=3', '--episodes=3'], 'there are 3 episodes in all'),
    (['--checkpoint=RUN', '--random_backbone'], 'brings its backbone'),
  ],
)
def test_bad_flags_are_named_and_nothing_is_written(
  served, failure, trained, tmp_path, args, words
):
  args = [arg.replace('RUN', str(trained[0])) for arg in args]
  done = served('evaluate', *args, '--output_dir=out', cwd=tmp_path)
  assert words in failure(done)
  assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_does_not_say_its_fold_needs_it(served, failure, trained, tmp_path):
  variables = load_checkpoint(trained[0] / 'checkpoints' / 'best').variables
  save_checkpoint(tmp_path / 'made', variables, config={'backbone': 'tiny', 'image_size': 64})
  args = ['--batch_size=2', '--episodes=2', f'--checkpoint={tmp_path / "made"}']
  for given in ([], ['--benchmark=shapes'], ['--fold=1']):
    assert 'give --benchmark and --fold' in failure(served('evaluate', *args, *given))
  done = served('evaluate', *args, '--benchmark=shapes', '--fold=1', f'--output_dir={tmp_path}')
  assert done.returncode == 0 and NOTE in done.stdout
