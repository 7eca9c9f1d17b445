"""Runs the training of the `tiny` backbone from beginning to end."""

import pathlib
from typing import Any

import jax
import numpy as np
import optax

from data_pipelines.shapes.lessons import Lessons, draw_lessons
from experiments.reporting.progress import progress_bar
from experiments.tiny_backbone import steps
from experiments.tiny_backbone.config import TinyConfig
from hsnet_jax.errors import InputError
from hsnet_jax.models import describe_devices
from hsnet_jax.weights.convert import save_backbone
from hsnet_jax.whole_files import writable_folder

# Share of the steps over which plain pictures give way to the full ones.
_CURRICULUM = 0.4


def train_tiny(config: TinyConfig) -> pathlib.Path:
  """Draws the pictures, trains, and writes the weights.

  Args:
    config: how, and where to.

  Returns:
    The file of the weights.

  Raises:
    InputError: no file is named or it cannot be written, pictures are of a side that the network
      does not halve, or the loss is no number any more.
  """
  if config.output is None:
    raise InputError('nowhere to write the weights; give `output`=tiny.safetensors')
  if config.image_size % 32:
    raise InputError(f'`image_size`={config.image_size}: must be a multiple of 32')
  output = pathlib.Path(config.output).expanduser()
  if output.suffix != '.safetensors':
    raise InputError(
      f'`output`={output}: the weights are written as .safetensors; name such a file'
    )
  if output.exists():
    raise InputError(f'{output}: exists already; name another file with `output`')
  writable_folder(output.parent, argument='output')
  print('device:', describe_devices())  # Before the pictures: one may not start.
  print(f'drawing {config.plain_images + config.images} pictures ...', flush=True)
  plain, full = (
    draw_lessons(
      count,
      plain=plain,
      num_classes=config.classes,
      size=config.image_size,
      processes=config.processes,
    )
    for count, plain in ((config.plain_images, True), (config.images, False))
  )
  params = _train(config, plain, full)
  moments = steps.mean_moments(
    params['backbone'], [full.image[i : i + 64] for i in range(0, min(len(full.image), 1024), 64)]
  )
  weights = steps.with_moments(params['backbone'], moments)
  save_backbone(output, jax.tree.map(np.asarray, weights), name='tiny')
  return output


def _train(config: TinyConfig, plain: Lessons, full: Lessons) -> dict[str, Any]:
  """Takes all steps; returns the parameters."""
  key = jax.random.key(config.seed)
  rng = np.random.RandomState(config.seed)
  params = steps.init(key, num_classes=config.classes)
  optimizer = steps.make_optimizer(config.steps)
  opt_state = optimizer.init(params)

  @jax.jit
  def step(params: Any, opt_state: Any, key: jax.Array, batch: Lessons) -> Any:
    grads, figures = jax.grad(steps.loss, has_aux=True)(params, key, batch)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, figures

  seen = []
  with progress_bar(config.steps, unit='step', desc='tiny') as bar:
    for i in range(config.steps):
      share = max(0.0, 1.0 - i / (_CURRICULUM * config.steps))
      batch = mixed_batch(rng, plain, full, size=config.batch_size, share=share)
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
  """Draws a batch of random pictures, moved by up to eight pixels.

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
