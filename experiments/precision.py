"""What computing in bfloat16 does to the answers of a trained network.

Example, from the checkout's folder, after `make demo`:
  python -m experiments.precision --checkpoint=runs/demo --episodes=100

The same test episodes go through the network in float32 and in bfloat16. Printed is by how much the
logits differ, how many pixels change sides, and mIoU in both.
"""

import dataclasses
import functools
import pathlib
import sys

if not __package__:  # Run by its path: the checkout's folder is where the packages are.
  sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import jax
import numpy as np
from absl import flags

from data_pipelines import eval_batches
from experiments.command import app, common
from experiments.reporting.progress import progress_bar
from hsnet_jax.inference import combine_shots, predict_episodes
from hsnet_jax.metrics import Confusion, confusion_counts
from hsnet_jax.models import PRECISIONS, check_image_size, describe_devices, load_model
from hsnet_jax.training import normalize

flags.adopt_module_key_flags(common)
_CHECKPOINT = flags.DEFINE_string('checkpoint', None, "A checkpoint's folder, or its run's.")
_EPISODES = flags.DEFINE_integer('episodes', 100, 'How many test episodes.', lower_bound=1)


@dataclasses.dataclass
class Differences:
  """How far logits are from those in float32, over all pixels of all episodes.

  Attributes:
    largest: difference.
    largest_logit: in float32, without its sign.
    squares: sum of the squared differences, and of the squared logits.
    changed: pixels whose prediction changes.
    pixels: all of them.
  """

  largest: float = 0.0
  largest_logit: float = 0.0
  squares: tuple[float, float] = (0.0, 0.0)
  changed: int = 0
  pixels: int = 0

  def add(self, wide: np.ndarray, short: np.ndarray) -> None:
    """Adds logits `[..., 2]` in float32 and in the shorter type."""
    wide, short = np.asarray(wide, np.float64), np.asarray(short, np.float64)
    off = short - wide
    self.largest = max(self.largest, float(np.abs(off).max()))
    self.largest_logit = max(self.largest_logit, float(np.abs(wide).max()))
    self.squares = self.squares[0] + (off**2).sum(), self.squares[1] + (wide**2).sum()
    sides = [logits[..., 1] > logits[..., 0] for logits in (wide, short)]
    self.changed += int((sides[0] != sides[1]).sum())
    self.pixels += sides[0].size

  def line(self) -> str:
    """All of it in words."""
    relative = (self.squares[0] / max(self.squares[1], 1e-30)) ** 0.5
    return (
      f'logits: root mean square difference {relative:.2%} of the logits, the largest'
      f' {self.largest / max(self.largest_logit, 1e-30):.2%} of the largest logit;'
      f' {self.changed / self.pixels:.2%} of the pixels change sides'
    )


@functools.partial(jax.jit, static_argnames='model')
def _answer(variables, batch, *, model):
  images = (normalize(batch[name], model.backbone) for name in ('query_image', 'support_images'))
  size = batch['query_mask'].shape[1:3]
  logits = predict_episodes(model, variables, *images, batch['support_masks'], output_size=size)
  mask = combine_shots(logits).mask
  return logits, confusion_counts(mask, batch['query_mask'], batch['query_ignore'])


def main() -> None:
  """Compares as the flags say."""
  models = {name: load_model(_CHECKPOINT.value, precision=name) for name in PRECISIONS}
  model = models['float32']
  benchmark, fold = common.benchmark_from_flags(model.config)
  size = common.image_size(benchmark.name, model.config)
  check_image_size(model.module, model.variables, size)
  batches = eval_batches(
    benchmark,
    count=_EPISODES.value,
    fold=fold,
    shots=common.SHOTS.value,
    image_size=size,
    batch_size=common.BATCH_SIZE.value or common.recipe(benchmark.name).batch_size,
    distinct=common.PROTOCOL.value == 'distinct',
    num_workers=common.NUM_WORKERS.value,
  )
  print('device:', describe_devices())
  print(
    f'{model.path}: {batches.num_episodes} episodes of {benchmark.name} fold {fold},'
    f' {common.SHOTS.value}-shot, {size} x {size}',
    flush=True,
  )
  differences = Differences()
  confusions = {name: Confusion.empty(benchmark.num_classes) for name in models}
  with progress_bar(batches.num_episodes, unit='episode') as bar:
    for batch in batches:
      placed, logits = jax.device_put(batch), {}
      for name, one in models.items():
        logits[name], counts = jax.device_get(_answer(one.variables, placed, model=one.module))
        counted = counts, batch['class_id'], batch['valid']
        confusions[name] = confusions[name].update(*counted)
      differences.add(*(x[:, batch['valid']] for x in logits.values()))
      bar.update(int(batch['valid'].sum()))
  print(differences.line())
  classes = benchmark.test_classes(fold)
  for name, confusion in confusions.items():
    print(f'mIoU in {name}: {confusion.result(classes)["miou"]:.2f}')


if __name__ == '__main__':
  app.run(main)
