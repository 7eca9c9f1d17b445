"""The evaluation loop, with a method that is made up and with a real one over devices."""

import functools
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from data_pipelines.loading.placement import place_batch
from experiments.evaluation.counting import (
  BoundLogits,
  Evaluation,
  count_batches,
  counting_step,
  row_facts,
)
from hsnet_jax.errors import InputError
from hsnet_jax.inference import COMBINATIONS, combination, episode_logits
from hsnet_jax.metrics import METRICS, RocHistogram
from hsnet_jax.model import HSNet
from hsnet_jax.training.sharding import batch_sharding, data_mesh, place, replicated
from tests import made
from tests.hsnet_jax.training.test_steps import make_batch as make_episodes

BENCHMARK = SimpleNamespace(num_classes=4, class_names=('a', 'b', 'c', 'd'))


def make_batches(count, batch_size, *, shots=2):
  for start in range(0, count, batch_size):
    index = np.minimum(np.arange(start, start + batch_size), count - 1)
    yield {
      'query_image': np.zeros((batch_size, 4, 4, 3), np.uint8),
      'query_mask': np.ones((batch_size, 4, 4), np.uint8),
      'query_ignore': np.zeros((batch_size, 4, 4), np.uint8),
      'support_images': np.zeros((batch_size, shots, 4, 4, 3), np.uint8),
      # Every third episode has an empty mask among its supports.
      'support_masks': np.stack(
        [
          np.stack(
            [np.ones((4, 4), np.uint8)] * (shots - 1) + [np.full((4, 4), i % 3 != 0, np.uint8)]
          )
          for i in index
        ]
      ),
      'class_id': (2 + index % 2).astype(np.int32),
      'index': index.astype(np.int32),
      'valid': np.arange(start, start + batch_size) < count,
    }


def step(batch):
  """Finds 12 of 16 foreground pixels in the first four episodes, 4 in the others."""
  batch = jax.device_get(batch)
  tp = np.where(batch['index'] < 4, 12, 4)
  zero = np.zeros_like(tp)
  histogram = np.zeros((len(tp), *RocHistogram.empty().histogram.shape), np.int32)
  histogram[:, 1, 4000] = tp
  histogram[:, 1, 10] = 16 - tp
  counts = np.stack([tp, zero, 16 - tp, zero], axis=-1)
  return row_facts(batch) | {
    'counts': counts,
    'sizes': counts,
    'boundary': np.zeros((len(tp), 6), np.int32),
    'calibration': np.zeros((len(tp), 15, 4), np.int32),
    'histogram': histogram,
    'prediction': np.ones((len(tp), 4, 4), np.uint8),
  }


@pytest.mark.parametrize('batch_size', [1, 4, 7])
def test_padding_counts_nowhere_and_columns_pool_their_episodes(batch_size):
  result = count_batches(
    step, make_batches(10, batch_size), BENCHMARK, classes=(2, 3), first=(4, 10, 50)
  )
  assert isinstance(result, Evaluation) and list(result.columns) == ['first 4', 'all 10']
  assert result.episodes == 10 and result.empty_supports == 4
  assert result.columns['first 4']['miou'] == pytest.approx(75.0)
  assert result.figures['miou'] == pytest.approx(100 * (4 * 12 + 6 * 4) / 160)
  assert result.figures['class_episodes'] == {'c': 5, 'd': 5}


def test_a_process_that_reads_a_part_counts_all():
  whole = list(make_batches(10, 4))
  rows = [step(batch) for batch in whole]
  # Its rows are the second half of each batch, and lie elsewhere among those of the devices.
  part = [{name: x[2:] for name, x in batch.items()} for batch in whole]
  found = iter([{name: x[::-1] for name, x in batch.items()} for batch in rows])
  options = {'classes': (2, 3), 'first': (4,), 'pictured': 3}
  result = count_batches(lambda _: next(found), part, BENCHMARK, **options)
  expected = count_batches(step, whole, BENCHMARK, **options)
  np.testing.assert_equal(result.columns, expected.columns)  # NaN is equal to NaN.
  assert (result.episodes, result.empty_supports) == (10, 4)
  captions = [panel.caption for panel in result.panels]
  assert captions == ['c, episode 2: IoU 75.0', 'c, episode 6: IoU 25.0', 'd, episode 3: IoU 75.0']


def test_a_class_without_episodes_lowers_the_mean():
  result = count_batches(step, make_batches(4, 4), BENCHMARK, classes=(1, 2, 3))
  assert result.figures['miou'] == pytest.approx(50.0)
  assert result.figures['class_iou']['b'] == 0.0


@pytest.mark.parametrize(
  'pictured, episodes',
  [(0, []), (1, ['c0']), (3, ['c0', 'c2', 'd1']), (100, 'c0 c2 c4 c6 c8 d1 d3 d5 d7 d9'.split())],
)
def test_pictures_are_of_the_first_episodes_of_each_class(pictured, episodes):
  result = count_batches(step, make_batches(10, 4), BENCHMARK, classes=(2, 3), pictured=pictured)
  captions = [panel.caption for panel in result.panels]
  assert [c.split(':')[0].replace(', episode ', '') for c in captions] == episodes
  if pictured:
    assert captions[0] == 'c, episode 0: IoU 75.0' and len(result.panels[0].supports) == 2


def test_pictures_have_the_photographs_own_size():
  (batch,) = make_batches(2, 2, shots=1)
  for name, around in (('query_mask', 0), ('query_ignore', 1)):
    batch[name] = np.pad(batch[name], ((0, 0), (0, 4), (0, 4)), constant_values=around)
  batch['query_size'] = np.array([[4, 3], [2, 4]], np.int32)
  out = step(batch) | {'prediction': np.zeros((2, 8, 8), np.uint8)}
  panels = count_batches(lambda _: out, [batch], BENCHMARK, classes=(2, 3), pictured=2).panels
  for panel, size in zip(panels, batch['query_size'].tolist(), strict=True):
    assert panel.query.shape == (*size, 3)
    assert all(list(x.shape) == size for x in (panel.prediction, panel.target, panel.ignore))
    assert panel.target.all() and not panel.ignore.any()


def logits_of_brightness(variables, batch):
  """A method: what is brighter than the threshold is the object, of each of two shots alike."""
  margin = batch['query_image'].astype('float32').mean(-1) - variables['threshold']
  one = jax.numpy.stack([jax.numpy.zeros_like(margin), margin], axis=-1)
  return jax.numpy.stack([one, one])


@pytest.mark.parametrize('name', ['index', 'class_id', 'valid', 'empty', 'prediction'])
def test_a_metric_that_is_named_as_what_lies_beside_its_rows_is_refused(name, monkeypatch):
  monkeypatch.setitem(METRICS, name, METRICS['counts'])
  # Of its own, since what is compiled for a method is kept.
  compiled = counting_step(lambda *args: logits_of_brightness(*args), data_mesh())
  with pytest.raises(InputError, match=f"metric .*'{name}'"):
    jax.eval_shape(compiled, {'threshold': 100.0}, next(make_batches(8, 8)))


def test_any_batch_goes_over_all_devices_as_over_one():
  rng = np.random.default_rng(0)
  batches = [
    batch | {'query_image': rng.integers(0, 256, batch['query_image'].shape, np.uint8)}
    for batch in make_batches(10, 3)
  ]
  found = []
  for devices in (jax.devices()[:1], jax.devices()):
    mesh = data_mesh(devices=devices)
    variables = jax.device_put({'threshold': np.float32(100)}, replicated(mesh))
    compiled = functools.partial(counting_step(logits_of_brightness, mesh), variables)
    options = {'classes': (2, 3), 'first': (4,), 'pictured': 3}
    found.append(
      count_batches(compiled, batches, BENCHMARK, sharding=batch_sharding(mesh), **options)
    )
  one, several = found
  assert len(jax.devices()) > 3 and 0 < one.figures['miou'] < 100
  np.testing.assert_equal(several.columns, one.columns)
  assert (several.episodes, several.empty_supports) == (10, 4)
  assert [p.caption for p in several.panels] == [p.caption for p in one.panels]
  for a, b in zip(several.panels, one.panels, strict=True):
    np.testing.assert_array_equal(a.prediction, b.prediction)


def test_as_many_rows_a_device_give_the_same_to_the_last_bit():
  logits = BoundLogits(episode_logits, HSNet(made.SMALL))
  rows, names = 3, ('counts', 'histogram', 'calibration')
  batch = make_episodes(rows=12, shots=2) | {'index': np.arange(12, dtype=np.int32)}
  found = []
  for devices in (1, 2, 4):
    mesh, each = data_mesh(devices=jax.devices()[:devices]), rows * devices
    variables = place(made.variables(made.SMALL), replicated(mesh))
    compiled = counting_step(logits, mesh, names=names)
    parts = [{k: x[i : i + each] for k, x in batch.items()} for i in range(0, 12, each)]
    placed = [place_batch(part, sharding=batch_sharding(mesh)).device for part in parts]
    out = [jax.device_get(compiled(variables, part)) for part in placed]
    found.append({name: np.concatenate([one[name] for one in out]) for name in out[0]})
  assert {*names, 'mean_probability', 'prediction'} <= found[0].keys()
  assert len({*found[0]['mean_probability'].tolist()}) > 6
  for several in found[1:]:
    for name, values in found[0].items():
      np.testing.assert_array_equal(several[name], values, err_msg=name)


@pytest.mark.parametrize('by', sorted(COMBINATIONS))
def test_shots_are_combined_by_the_table_and_within_each_photograph(by):
  logits = np.random.default_rng(0).normal(size=(3, 2, 4, 4, 2)).astype(np.float32)
  bound = BoundLogits(lambda model, variables, batch: variables, None, combine=by)
  sizes = np.array([[2, 4], [4, 3]], np.int32)
  for batch in ({}, {'query_size': sizes}):
    expected = combination(by)(logits, sizes=batch.get('query_size'))
    np.testing.assert_array_equal(bound(logits, batch), expected)
