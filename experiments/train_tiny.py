"""Trains the `tiny` backbone, whose weights come with the project.

  The shipped weights (8000 pictures, 3000 steps; 21 minutes on two busy cores):
    python -m experiments.train_tiny --output=tiny.safetensors

It sees drawn outlines of 250 random classes, none of which resembles the 20 of `shapes`
(`data_pipelines.shapes.others`). Every feature map learns, position by position, three things that
outlines are told by: where objects are, what class the object here has, and how its outline looks
upright. Colours are mixed at random in every step, so that they mean nothing.

Pictures without textures come first and give way to the full ones over the first 40% of the steps;
kernels are trained with orthogonalised momentum (Muon). At the end the finest map tells the class
of 41% of the objects' positions and the coarsest of 71% (chance: 0.4%).
"""

import os
import pathlib
import sys

if not __package__:  # Run by its path: the checkout's folder is where the packages are.
  sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import jax
import numpy as np
import optax
from absl import flags

from data_pipelines.shapes.lessons import Lessons, draw_lessons
from experiments.command import app
from experiments.reporting.progress import progress_bar
from experiments.tiny_backbone import steps
from hsnet_jax.errors import InputError
from hsnet_jax.weights.convert import save_backbone
from hsnet_jax.whole_files import writable_folder

_OUTPUT = flags.DEFINE_string('output', None, 'The .safetensors file to write.')
_STEPS = flags.DEFINE_integer('steps', 3000, 'Optimizer steps.', lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 16, 'Pictures per step.', lower_bound=1)
_PLAIN_IMAGES = flags.DEFINE_integer('plain_images', 2000, 'Pictures without textures.', 1)
_IMAGES = flags.DEFINE_integer('images', 6000, 'Pictures with textures.', lower_bound=1)
_CLASSES = flags.DEFINE_integer('classes', 250, 'Classes of outlines.', 2, 255)
_IMAGE_SIZE = flags.DEFINE_integer('image_size', 128, 'Side of the pictures.', lower_bound=64)
_SEED = flags.DEFINE_integer('seed', 0, 'Of initial values and batches.', lower_bound=0)
_PROCESSES = flags.DEFINE_integer(
  'processes', os.cpu_count(), 'How many processes draw the pictures; 0: this one.', lower_bound=0
)

# Share of the steps over which plain pictures give way to the full ones.
_CURRICULUM = 0.4


def main() -> None:
  """Draws the pictures, trains, writes the weights."""
  if _OUTPUT.value is None:
    raise InputError('nowhere to write the weights; give --output=tiny.safetensors')
  if _IMAGE_SIZE.value % 32:
    raise InputError(f'--image_size={_IMAGE_SIZE.value}: must be a multiple of 32')
  output = pathlib.Path(_OUTPUT.value).expanduser()
  if output.suffix != '.safetensors':
    raise InputError(
      f'--output={output}: the weights are written as .safetensors; name such a file'
    )
  writable_folder(output.parent, argument='output')
  drawing = {
    'num_classes': _CLASSES.value,
    'size': _IMAGE_SIZE.value,
    'processes': _PROCESSES.value,
  }
  print(f'drawing {_PLAIN_IMAGES.value + _IMAGES.value} pictures ...', flush=True)
  plain = draw_lessons(_PLAIN_IMAGES.value, plain=True, **drawing)
  full = draw_lessons(_IMAGES.value, plain=False, **drawing)
  params = _train(plain, full)
  moments = steps.mean_moments(
    params['backbone'], [full.image[i : i + 64] for i in range(0, min(len(full.image), 1024), 64)]
  )
  weights = steps.with_moments(params['backbone'], moments)
  save_backbone(output, jax.tree.map(np.asarray, weights), name='tiny')
  print(f'weights: {output}')


def _train(plain: Lessons, full: Lessons):
  """All steps; returns the parameters."""
  key = jax.random.key(_SEED.value)
  rng = np.random.RandomState(_SEED.value)
  params = steps.init(key, num_classes=_CLASSES.value)
  optimizer = steps.make_optimizer(_STEPS.value)
  opt_state = optimizer.init(params)

  @jax.jit
  def step(params, opt_state, key, batch):
    grads, figures = jax.grad(steps.loss, has_aux=True)(params, key, batch)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, figures

  seen = []
  with progress_bar(_STEPS.value, unit='step', desc='tiny') as bar:
    for i in range(_STEPS.value):
      share = max(0.0, 1.0 - i / (_CURRICULUM * _STEPS.value))
      batch = mixed_batch(rng, plain, full, size=_BATCH_SIZE.value, share=share)
      params, opt_state, figures = step(params, opt_state, jax.random.fold_in(key, i), batch)
      seen.append(jax.device_get(figures))
      recent = np.mean([[f['loss'], f['accuracy'][-1]] for f in seen[-50:]], axis=0)
      if not np.isfinite(recent[0]):
        raise InputError(f'the loss is {recent[0]} at step {i + 1}; nothing was written')
      bar.set_postfix(loss=f'{recent[0]:.3f}', accuracy=f'{recent[1]:.3f}', refresh=False)
      bar.update()
  accuracy = np.mean([f['accuracy'] for f in seen[-50:]], axis=0)
  print('accuracy of the class, finest map first:', ' '.join(f'{a:.3f}' for a in accuracy))
  return params


def mixed_batch(
  rng: np.random.RandomState, plain: Lessons, full: Lessons, *, size: int, share: float
) -> Lessons:
  """A batch of random pictures, moved by up to eight pixels.

  Args:
    rng: random state.
    plain: pictures without textures.
    full: pictures with textures.
    size: how many.
    share: expected share of plain ones.

  Returns:
    `size` pictures.
  """
  count = int((rng.random_sample(size) < share).sum())
  first = rng.randint(0, len(plain.image), count)
  second = rng.randint(0, len(full.image), size - count)
  batch = Lessons(
    *(np.concatenate([p[first], f[second]]) for p, f in zip(plain, full, strict=True))
  )
  move = tuple(int(v) for v in rng.randint(-8, 9, 2))
  return batch._replace(
    image=np.roll(batch.image, move, (1, 2)), label=np.roll(batch.label, move, (1, 2))
  )


if __name__ == '__main__':
  app.run(main)
