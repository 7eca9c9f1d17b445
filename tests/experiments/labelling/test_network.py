"""Supports that are encoded once each: what is found is what `Segmenter` finds."""

import numpy as np
import pytest
from PIL import Image

import hsnet_jax as hs
from experiments.labelling.network import Network
from tests.labelling import Client, save_pictures, served

NAMES = ('a.jpg', 'b.jpg', 'c.jpg')
SIZE = (60, 80)


@pytest.fixture(scope='module')
def segmenter():
  return hs.Segmenter.from_pretrained('photos', image_size=128, presence_threshold=-1.0)


@pytest.fixture
def page(tmp_path):
  with served(save_pictures(tmp_path / 'pictures', NAMES, SIZE)) as (page, port):
    page.port = port
    yield page


def half(*numbers):
  label = np.zeros(SIZE, np.uint8)
  for i, number in enumerate(numbers):
    label[10:50, 10 + 30 * i : 35 + 30 * i] = number
  return label


@pytest.mark.heavy
def test_it_finds_what_a_segmenter_finds(page, segmenter):
  network = Network(segmenter, most=8)
  assert network.fit(page.store, page.folder) == (None, None)
  with Client(page.port) as client:
    client.post('/api/classes', json={'name': 'second'})
    client.draw('a.jpg', half(1, 2))
    client.draw('b.jpg', half(0, 2))
  fit, problem = network.fit(page.store, page.folder)
  assert problem is None and fit.counts == (1, 2) and fit.numbers == (1, 2)
  files = [page.folder / name for name in ('a.jpg', 'a.jpg', 'b.jpg')]
  masks = [half(1, 2) == 1, half(1, 2) == 2, half(0, 2) == 2]
  fitted = segmenter.fit(files, masks, ['1', '2', '2'])
  for seed in range(3):
    image = np.random.default_rng(seed).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    found, answer = fitted.predict(image), fit.predict(image)
    np.testing.assert_array_equal(answer.label, found.label)
    assert answer.presence == pytest.approx(1 / (1 + np.exp(-found.presence)), abs=1e-5)


def test_of_one_class_the_figures_are_a_segmenters_too(page, segmenter):
  for seed, name in enumerate(NAMES):  # Something that is found: stripes on gray.
    image = np.full((*SIZE, 3), 90, np.uint8)
    image[10:50, 10 + 8 * seed : 50 : 2] = 220, 30, 30
    Image.fromarray(image).save(page.folder / name, quality=100)
  network = Network(segmenter, most=8)
  mask = np.zeros(SIZE, np.uint8)
  mask[10:50, 10:50] = 1
  with Client(page.port) as client:
    client.get('/api/pictures/a.jpg/image')
    client.draw('a.jpg', mask).raise_for_status()
  fit, _ = network.fit(page.store, page.folder)
  fitted = segmenter.fit([page.folder / 'a.jpg'], [mask])
  shown = 0
  for name in NAMES:
    with Image.open(page.folder / name) as picture:
      image = np.asarray(picture)
    found, answer = fitted.predict(image), fit.predict(image)
    np.testing.assert_array_equal(answer.label, found.label)
    assert answer.confidence == pytest.approx(found.confidence, abs=1e-4)
    shown += int(found.label.sum())
  assert shown


def test_another_outline_encodes_itself_alone(page, segmenter, monkeypatch):
  network, encoded = Network(segmenter, most=2), []
  fit = hs.Segmenter.fit

  def counting(self, images, masks, classes=None):
    encoded.extend(images)
    return fit(self, images, masks, classes)

  monkeypatch.setattr(hs.Segmenter, 'fit', counting)
  with Client(page.port) as client:
    for count, name in enumerate(NAMES, 1):
      client.draw(name, half(1))
      assert network.fit(page.store, page.folder)[0].counts == (min(count, 2),)
      assert len(encoded) == count
    client.draw('b.jpg', half(0, 1))
    network.fit(page.store, page.folder)
    assert len(encoded) == 4


def test_all_supports_share_one_copy_of_the_weights(page, segmenter):
  network = Network(segmenter, most=1)
  fits = []
  with Client(page.port) as client:
    for name in ('a.jpg', 'b.jpg'):
      client.draw(name, half(1))
      fits.append(network.fit(page.store, page.folder)[0].segmenter.fitted)
  assert fits[0].variables is fits[1].variables


def test_a_support_that_cannot_be_read_is_left_out(page, segmenter):
  network = Network(segmenter, most=8)
  with Client(page.port) as client:
    client.draw('a.jpg', half(1))
    client.draw('b.jpg', half(1))
  (page.folder / 'b.jpg').unlink()
  fit, problem = network.fit(page.store, page.folder)
  assert fit.counts == (1,) and 'b.jpg' in problem
