"""A run with made weights, quicker than to train one, and a made folder of photographs."""

import numpy as np
import pytest
from PIL import Image

from experiments.evaluation import predicting
from experiments.evaluation.config import PredictConfig
from hsnet_jax.checkpoints import save_checkpoint
from tests.experiments.evaluation.given import judged, mask, picture
from tests.made import variables

CONFIG = {
  'backbone': 'tiny',
  'benchmark': 'shapes',
  'fold': 1,
  'image_size': 64,
  'validation': 'published',
}


@pytest.fixture(scope='package')
def run(tmp_path_factory):
  """The folder of a run whose checkpoints, `best` and `last`, hold made weights."""
  folder = tmp_path_factory.mktemp('run')
  for name in ('best', 'last'):
    save_checkpoint(folder / 'checkpoints' / name, variables('tiny'), config=CONFIG, step=3)
  return folder


@pytest.fixture(scope='package')
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


@pytest.fixture
def config(run, tmp_path):
  """Two supports, one of them a photograph that lies on its side, and no query yet."""
  folder = tmp_path / 'supports'
  folder.mkdir()
  images = [picture(folder / 'a.jpg'), picture(folder / 'b.jpg', orientation=6)]
  masks = [mask(folder / 'a.png'), mask(folder / 'b.png', size=(45, 60))]

  def make(*queries, **options):
    return PredictConfig(
      checkpoint=str(run),
      support_images=tuple(map(str, images)),
      support_masks=tuple(map(str, masks)),
      query=tuple(map(str, queries)),
      **{'output_dir': str(tmp_path / 'deep' / 'out'), **options},
    )

  return make


@pytest.fixture
def quick(monkeypatch):
  """Stands in for the network, which other tests ask: finds what is on the left."""

  def predict_batch(images, sizes):
    masks = [(np.arange(w)[None].repeat(h, 0) < w // 2).astype(np.uint8) for h, w in sizes]
    return [judged(mask) for mask in masks]

  monkeypatch.setattr(predicting, 'predictor', lambda *_, **__: predict_batch)
