"""The thread over the network: what waits together goes together, supports are encoded once."""

import numpy as np
import pytest

from data_pipelines.reading.images import Encoded
from experiments.serving.engine import Engine, Support
from experiments.serving.segmenting import segment
from hsnet_jax import InputError
from tests.serving import drawn, encoded, fitted, photo, segmenter

QUERIES = [photo(seed, (30 + seed, 50)) for seed in range(6)]


def file(array, name='image'):
  return Encoded(encoded(array), name)


def support(seed, name='object'):
  return Support(file(photo(seed), 'support_images[0]'), file(drawn(), 'support_masks[0]'), name)


@pytest.fixture
def engine():
  """One that is started by the test; its batches are counted."""
  batches = []
  engine = Engine(fitted(), batch_size=4, kept=2, count=batches.append)
  engine.batches = batches
  return engine


@pytest.mark.heavy
def test_what_waits_goes_together_by_its_supports(engine):
  own = [(), (support(3),), (), (support(3),), (support(4),), ()]
  futures = [engine.submit(file(q), s) for q, s in zip(QUERIES, own, strict=True)]
  engine.start()
  engine.stop()
  # Four are taken, of two kinds; then two, of two kinds.
  assert engine.batches == [2, 2, 1, 1]
  for query, given, future in zip(QUERIES, own, futures, strict=True):
    fit = segmenter().fit([photo(3 if given == own[1] else 4)], [drawn()]) if given else fitted()
    found = future.result().label
    assert found.shape == query.shape[:2]
    assert (found != fit.predict(query).label).mean() < 0.01  # A batch rounds otherwise.


def test_supports_are_encoded_once_while_they_are_kept(engine, monkeypatch):
  fits = []
  fit = type(segmenter()).fit
  monkeypatch.setattr(
    type(segmenter()), 'fit', lambda self, *given: fits.append(1) or fit(self, *given)
  )
  engine.start()
  for seed, count in ((3, 1), (4, 2), (3, 2), (5, 3), (3, 3), (4, 4)):
    engine.submit(file(QUERIES[0]), [support(seed)]).result()
    assert len(fits) == count
  engine.stop()


def test_what_is_wrong_with_one_is_told_to_it_alone(engine):
  bad = engine.submit(Encoded(b'no picture', 'image'))
  empty = Support(file(photo(3), 'support_images[0]'), file(0 * drawn(), 'support_masks[0]'), 'a')
  wrong = engine.submit(file(QUERIES[0]), [empty])
  good = engine.submit(file(QUERIES[1]))
  gone = engine.submit(file(QUERIES[2]))
  assert gone.cancel()
  engine.start()
  engine.stop()
  with pytest.raises(InputError, match='image'):
    bad.result()
  with pytest.raises(InputError, match='support_masks'):
    wrong.result()
  assert good.result().label.shape == QUERIES[1].shape[:2] and engine.batches == [1]


def test_classes_that_compete_are_told_apart_as_a_segmenter_does():
  given = [photo(seed) for seed in range(3)], [drawn()] * 3, ['a', 'b', 'c']
  fit = segmenter().fit(*given)
  found = fit.predict(QUERIES[0])
  assert (found.masks.sum(axis=0) > 1).any()
  engine = Engine(fit)
  engine.start()
  answer = engine.submit(file(QUERIES[0])).result()
  engine.stop()
  np.testing.assert_array_equal(answer.label, found.label)
  assert segment(fit, np.zeros((1, 32, 32, 3), np.uint8), [(5, 6)])[0].label.shape == (5, 6)
