"""What the network costs, by operation, part and kernel; the seconds are nobody's test."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.timing.costs import memory, scaling
from experiments.timing.costs.cases import cases
from experiments.timing.costs.kernels import kernels_report
from experiments.timing.costs.operations import count, count_zeros, share_left, shown, with_gradient
from experiments.timing.costs.parts import parts_report
from experiments.timing.costs.pieces import make_variables, pieces
from experiments.timing.costs.scaling import USUAL, made_episodes
from experiments.timing.in_turn import Compared
from experiments.timing.lines import Line
from hsnet_jax.backbones import BACKBONES
from hsnet_jax.correlation import Level
from hsnet_jax.encoder import correlation_conv4d
from hsnet_jax.errors import InputError
from hsnet_jax.kernels.forms import FORMS
from tests import made

DRAWN = {'fold': 0, 'data_dir': None, 'splits_dir': None}


def rows(report):
  lines = list(report)
  assert len({line.count('|') for line in lines if '|' in line}) == 1
  return [line.values for line in lines if isinstance(line, Line)]


def test_a_product_is_counted_and_its_gradients_are_two_more():
  x, y = np.zeros((3, 5), np.float32), np.zeros((5, 7), np.float32)
  assert count(jnp.matmul, x, y) == 2 * 3 * 5 * 7
  both = with_gradient(lambda a, b: a @ b, 2)
  assert count(both, np.zeros((3, 7), np.float32), x, y) == 3 * 2 * 3 * 5 * 7


@pytest.mark.parametrize('share', [0.0, 0.05, 0.2, 0.5, 1.0])
def test_an_object_covers_about_what_was_asked(share):
  episodes = made_episodes({**USUAL, 'size': 96, 'shots': 2, 'object': share})
  assert episodes['support'].shape == (1, 1, 2, 96, 96, 3)
  mask = episodes['support_mask'][0, 0]
  assert mask.mean() == pytest.approx(share, abs=0.02)
  assert shown(mask, (12, 12)).mean() == pytest.approx(share, abs=0.12)


def test_what_is_left_is_of_the_windows_that_touch_the_object():
  positions = np.zeros((1, 6, 6), bool)
  assert share_left(positions, (3, 3), 2) == 0
  positions[0, 2, 2] = True  # The center of one window of 3 x 3, which no other touches.
  assert share_left(positions, (3, 3), 2) == pytest.approx(1 / 9)
  positions[0, 3, 3] = True  # Under the corners of it and three more.
  assert share_left(positions, (3, 3), 2) == pytest.approx((4 + 1) / 2 / 9)
  assert share_left(~positions & True, (3, 3), 1) > 0.9
  assert share_left(np.ones((1, 6, 6), bool), (3, 3), 2) == 1


@pytest.mark.parametrize('gradient', [False, True])
def test_without_an_object_nothing_is_left_and_with_a_full_one_all(gradient):
  query, support = made.normal((1, 4, 4, 3), (1, 6, 6, 3))
  level, (kernel,) = Level((query,) * 2, (support,) * 2), made.normal((3, 3, 2, 4))
  empty, full = np.zeros((1, 6, 6), np.uint8), np.ones((1, 6, 6), np.uint8)

  def layer(a, b, level):
    return correlation_conv4d(level, a, b, stride=2, implementation='plain')

  values = np.zeros((1, 4, 4, 3, 3, 4), np.float32)
  whole = count(with_gradient(layer, 2 if gradient else 0), values, kernel, kernel, level)
  zeros = count_zeros(level, kernel, gradient, stride=2, mask=empty)
  assert zeros == pytest.approx(whole, rel=1e-6)
  assert count_zeros(level, kernel, gradient, stride=2, mask=full) == 0


def test_no_other_kernel_is_measured():
  with pytest.raises(InputError, match='`kernels`: conv9'):
    next(
      kernels_report(
        backbone='tiny', image_size=32, batch_size=1, rounds=1, peak_size=8, kernels=['conv9']
      )
    )


@pytest.mark.heavy
def test_the_network_s_kernels_are_found(monkeypatch):
  monkeypatch.setitem(BACKBONES, 'small', made.SMALL)
  batch = {name: value[0] for name, value in made_episodes({**USUAL, 'size': 32}).items()}
  batch |= {name: batch[name][:, 0] for name in ('support', 'support_mask')}
  parts = list(pieces('small', make_variables('small', train=False), batch))
  assert [part.name.split(',')[0] for part in parts] == [
    'backbone',
    'Eq. 1 and norms',
    'squeeze3',
    'squeeze2',
    'mix3to2',
    'decoder',
  ]
  found = cases(parts)
  assert {case.kernel for case in found} == set(FORMS) - {'depthwise_conv2d'}
  times = {kernel: sum(c.times for c in found if c.kernel == kernel) for kernel in FORMS}
  # Of two levels; three layers of two convolutions a block, of three blocks, and the decoder's.
  assert times['correlation_conv4d'] == 2 and times['support_side'] == 2 * 2 + 3
  assert times['conv2d'] == 3 * 3 * 2 + 4
  assert all(case.chosen in case.forms() for case in found)
  assert not any('pointwise' in case.forms() for case in found if '3 x 3' in case.piece.name)


@pytest.mark.heavy
def test_every_part_is_measured(monkeypatch):
  monkeypatch.setitem(BACKBONES, 'small', made.SMALL)
  given = {'backbone': 'small', 'image_size': 32, 'batch_size': 1, 'rounds': 1, 'peak_size': 64}
  found = rows(parts_report(train=True, **given, **DRAWN))
  *parts, summed, whole = found
  assert [row['part'] for row in (summed, whole)] == ['all parts', 'the whole program']
  assert sum(row['operations'] for row in parts) == summed['operations'] == whole['operations'] > 0
  assert all(row['share_of_limit'] >= 0 and row['seconds']['median'] > 0 for row in found)


@pytest.mark.heavy
def test_the_forms_of_a_kernel_are_measured(monkeypatch):
  monkeypatch.setitem(BACKBONES, 'small', made.SMALL)
  given = {'backbone': 'small', 'image_size': 32, 'batch_size': 1, 'rounds': 1, 'peak_size': 64}
  found = rows(kernels_report(**given, kernels=['correlation_conv4d']))
  assert len(found) == 2 * 2 * 2  # Levels, forms, forward and gradient.
  assert sum(row['auto'] for row in found) == 2 * 2


class MadeCompare:
  """Takes a second a pixel's row, and holds ten bytes; the library compiles within a hundred."""

  def __init__(self, monkeypatch, module):
    self.kinds = []
    monkeypatch.setattr(module, 'compare', self)

  def __call__(self, tasks, episodes, *, rounds):
    self.kinds += [task.kind for task in tasks.values()]
    seconds = {name: [float(episodes['query'].shape[2])] * rounds for name in tasks}
    account = {'arguments': 1, 'outputs': 2, 'temporaries': 3, 'ready': 4}
    programs = {name: account for name, task in tasks.items() if task.side == 'library'}
    return Compared(seconds, dict.fromkeys(tasks, 10), dict.fromkeys(tasks, 100), programs)


def test_a_row_is_printed_for_each_value(monkeypatch):
  compare = MadeCompare(monkeypatch, scaling)
  values = {'shots': (1, 2), 'size': (32, 64), 'object': (0.0, 1.0)}
  found = rows(
    scaling.scaling_report(backbone='tiny', rounds=2, image_size=48, axes=values, values=values)
  )
  assert [row[row['axis']] for row in found] == [1, 2, 32, 64, 0.0, 1.0]
  assert compare.kinds == ['forward', 'kshot', *['forward'] * 4]
  assert [row['seconds']['median'] for row in found] == [48, 48, 32, 64, 48, 48]
  assert [row['positions_shown'] for row in found[-2:]] == [0, 1]
  assert found[0]['bytes_above_weights'] == 10 and found[0]['bytes_of_temporaries'] == 3


def test_memory_is_that_of_both_operations_and_of_each_side(monkeypatch):
  compare = MadeCompare(monkeypatch, memory)
  given = {'backbone': 'resnet50', 'image_size': 32, 'batch_size': None, 'rounds': 1}
  found = rows(memory.memory_report(sides=['library', 'torch'], **given, **DRAWN))
  assert compare.kinds == ['forward', 'forward', 'train', 'train']
  assert [(row['side'], row['batch']) for row in found[1:3]] == [('torch', 1), ('library', 2)]
  held = {'process': 10, 'ready': 4, 'compiling': 100}
  assert found[0]['bytes'] == {'arguments': 1, 'outputs': 2, 'temporaries': 3, **held}
  # The peer compiles nothing.
  assert found[1]['bytes']['process'] == 10 and found[1]['bytes']['compiling'] is None
