"""Predicting in this process: images of every kind, several at a time, all or nothing."""

import jax
import numpy as np
import pytest
from PIL import Image

import hsnet_jax as hs
from data_pipelines.reading.images import read_image
from experiments.evaluation import predicting
from experiments.evaluation.config import PredictConfig
from experiments.evaluation.predicting import images_at_once, predict, predictor, segment_files
from hsnet_jax.checkpoints import save_checkpoint
from hsnet_jax.errors import InputError
from hsnet_jax.models import Model, load_model
from tests.experiments.evaluation.given import mask, picture, size_of
from tests.made import variables


@pytest.fixture
def config(run, tmp_path):
  """Two supports, one of them a photograph that lies on its side, and no query yet."""
  folder = tmp_path / 'supports'
  folder.mkdir()
  images = [picture(folder / 'a.jpg'), picture(folder / 'b.jpg', orientation=6)]
  masks = [mask(folder / 'a.png'), mask(folder / 'b.png', size=(45, 60))]

  def make(*queries):
    return PredictConfig(
      checkpoint=str(run),
      support_images=tuple(map(str, images)),
      support_masks=tuple(map(str, masks)),
      query=tuple(map(str, queries)),
      output_dir=str(tmp_path / 'deep' / 'out'),
    )

  return make


def test_masks_have_the_size_of_the_upright_query(config, tmp_path, capsys):
  folder = tmp_path / 'queries'
  folder.mkdir()
  # Each size is compiled for.
  sizes = {'wide': (90, 40), 'gray': (33, 70), 'alpha': (33, 70), 'deep': (90, 40)}
  picture(folder / 'wide.jpg', size=(90, 40))
  picture(folder / 'gray.jpg', size=(33, 70), mode='L')
  picture(folder / 'alpha.png', size=(33, 70), mode='RGBA')
  picture(folder / 'deep.png', size=(90, 40), mode='I;16')
  (folder / 'notes.txt').write_text('no image')
  turned = picture(tmp_path / 'turned.jpg', size=(80, 30), orientation=6)
  written = predict(config(folder, turned))
  out = tmp_path / 'deep' / 'out'
  said = capsys.readouterr().out
  assert '2-shot' in said and str(out) in said
  sizes['turned'] = (30, 80)
  expected = {f'{name}_{kind}.png' for name in sizes for kind in ('mask', 'overlay')}
  assert {p.name for p in out.iterdir()} == expected
  assert {p.name for p in written} == {name for name in expected if 'mask' in name}
  for name, size in sizes.items():
    with Image.open(out / f'{name}_mask.png') as image:
      assert image.size == size and image.mode == 'L'
      assert set(np.unique(image)) <= {0, 255}
    assert size_of(out / f'{name}_overlay.png') == size


SIZE = (50, 81)


def predicted_and_segmented(shots):
  """What predicts, a query, and the mask of `SIZE` that the library finds in it by itself."""
  rng, made = np.random.default_rng(1), variables('tiny')
  module = hs.HSNet('tiny')
  query = rng.integers(0, 256, (64, 96, 3), np.uint8)
  images = rng.integers(0, 256, (shots, 64, 96, 3), np.uint8)
  masks = np.zeros((shots, 64, 96), np.uint8)
  masks[:, 20:50, 30:70] = 1

  @jax.jit
  def segment(made, query, images, masks):
    support_set = hs.encode_support(module, made, hs.normalize(images, 'tiny'), masks)
    query = hs.normalize(query[None], 'tiny')
    return hs.segment(module, made, query, support_set, output_size=SIZE).mask[0]

  expected = segment(made, query, images, masks)
  assert set(np.unique(expected)) == {0, 1}, 'a mask of one value would show nothing'
  return predictor(Model(module, made), images, masks), query, expected


@pytest.mark.parametrize('shots', [1, 2])
def test_a_mask_is_what_the_library_segments(shots):
  predict, query, expected = predicted_and_segmented(shots)
  (found,) = predict(query[None], [SIZE])
  assert found.shape == SIZE and found.dtype == np.uint8
  np.testing.assert_array_equal(found, expected)


def test_masks_of_several_sizes_are_found_at_a_time():
  predict, query, expected = predicted_and_segmented(2)
  other, found = predict(np.stack([query[::-1], query]), [(20, 30), SIZE])
  assert other.shape == (20, 30) and found.shape == SIZE
  # A batch of another size may differ by rounding.
  assert (np.asarray(found) != expected).mean() <= 1e-3


def test_images_go_through_a_few_at_a_time_and_each_is_read_once(tmp_path, monkeypatch):
  paths = [picture(tmp_path / f'{i}.png', size=(20 + i, 10)) for i in range(7)]
  read, calls = [], []

  def reading(path):
    read.append(path)
    return read_image(path)

  def predict_batch(images, sizes):
    calls.append((len(images), len(sizes), len(read)))
    return [np.full(size, i, np.uint8) for i, size in enumerate(sizes)]

  monkeypatch.setattr(predicting, 'read_image', reading)
  size = (800, 800)
  assert images_at_once(7, size) == 2 and images_at_once(7, (64, 64)) == 7
  assert images_at_once(33, (64, 64)) == 17 and images_at_once(3, (4000, 4000)) == 1
  assert images_at_once(9, (64, 64), largest=6000 * 4000) == 1, 'large photographs one by one'
  found = list(segment_files(predict_batch, paths, size=size, rows=2))
  assert [one.path for one in found] == paths == read
  assert [one.mask.shape for one in found] == [(10, 20 + i) for i in range(7)]
  assert [one.mask.max() for one in found] == [0, 1, 0, 1, 0, 1, 0]
  # The same number of rows each time, the last filled up; nothing is read long before its turn.
  assert calls == [(2, 2, 2), (2, 2, 4), (2, 2, 6), (2, 1, 7)]


@pytest.mark.parametrize('case', ['truncated query', 'no image', 'empty mask'])
def test_bad_input_is_named_and_nothing_is_written(config, tmp_path, case, capsys):
  good = picture(tmp_path / 'a.png', size=(200, 200))
  query = picture(tmp_path / 'q.jpg', size=(200, 200))
  facts = r'q\.jpg'
  if case == 'truncated query':
    query.write_bytes(query.read_bytes()[:3000])
  elif case == 'no image':
    query.write_text('no image')
  else:
    mask(tmp_path / 'supports' / 'b.png', size=(45, 60), value=0)
    facts = r'b\.png: .* foreground'
  with pytest.raises(InputError, match=facts):
    predict(config(good, query))
  assert not (tmp_path / 'deep').exists()
  # What can be told in no time is told before the network is loaded.
  assert ('2-shot' in capsys.readouterr().out) == (case == 'truncated query')


def test_an_interruption_keeps_what_is_finished_and_nothing_that_was_left(
  config, tmp_path, monkeypatch
):
  queries = [picture(tmp_path / f'{i}.png') for i in range(3)]
  out = tmp_path / 'deep' / 'out'
  out.mkdir(parents=True)
  (out / 'precious.txt').write_text('precious')
  (out / '.unfinished-killed' / 'files').mkdir(parents=True)
  (out / '.unfinished-killed' / '.lock').touch()
  seen = []

  def segment(predict_batch, paths, *, size, rows):
    for path in paths[:2]:
      image = read_image(path)
      yield predicting.Segmented(path, image, np.ones(image.shape[:2], np.uint8))
    seen.extend(p.name for p in out.iterdir() if not p.name.startswith('.'))
    raise KeyboardInterrupt

  monkeypatch.setattr(predicting, 'segment_files', segment)
  with pytest.raises(KeyboardInterrupt):
    predict(config(*queries))
  assert seen == ['precious.txt']
  assert {p.name for p in out.iterdir()} == {
    'precious.txt', '0_mask.png', '0_overlay.png', '1_mask.png', '1_overlay.png'
  }  # fmt: skip


def test_tensors_of_another_network_are_listed(tmp_path):
  stored = jax.tree.map(lambda leaf: leaf, variables('tiny'))  # Dicts of its own.
  bias = stored['params']['decoder']['conv0'].pop('bias')
  stored['params']['decoder']['conv9'] = {'bias': bias}
  save_checkpoint(tmp_path / 'c', stored, config={'backbone': 'tiny', 'image_size': 64})
  with pytest.raises(InputError, match='c: .*decoder1.0.bias.*conv9/bias'):
    load_model(tmp_path / 'c')
