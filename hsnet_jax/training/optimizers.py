"""Makes the optimizer that a training run's options describe, as one optax chain."""

import optax

from hsnet_jax.errors import InputError
from hsnet_jax.training.averaging import average_params


def make_schedule(
  learning_rate: float, *, schedule: str = 'constant', warmup_steps: int = 0, last_step: int = 0
) -> optax.Schedule:
  """Makes the learning rate by step.

  Args:
    learning_rate: after warming up.
    schedule: 'constant'; or 'cosine', which falls to 0 at `last_step`.
    warmup_steps: over so many steps the rate rises from 0.
    last_step: the step that training ends with; 'cosine' needs it.

  Returns:
    `step -> learning rate`.

  Raises:
    InputError: no such schedule, or one that ends before it has warmed up.
  """
  if schedule == 'constant':
    after = optax.constant_schedule(learning_rate)
  elif schedule != 'cosine':
    raise InputError(f'schedule is {schedule!r}; it must be constant or cosine')
  elif last_step <= warmup_steps:
    raise InputError(
      f'a cosine schedule that ends at step {last_step} leaves nothing after {warmup_steps} steps'
      ' of warming up; take more steps or fewer `warmup_steps`'
    )
  else:
    after = optax.cosine_decay_schedule(learning_rate, last_step - warmup_steps)
  if not warmup_steps:
    return after
  rise = optax.linear_schedule(0.0, learning_rate, warmup_steps)
  return optax.join_schedules([rise, after], [warmup_steps])


def make_optimizer(
  learning_rate: float | optax.Schedule,
  *,
  weight_decay: float = 0.0,
  clip: float = 0.0,
  ema: float = 0.0,
) -> optax.GradientTransformation:
  """Makes Adam, as published, and what may be put around it.

  Args:
    learning_rate: a number, published 1e-3, or what `make_schedule` returns.
    weight_decay: decoupled from the gradient (AdamW); 0 for none.
    clip: norm that gradients, all together, are scaled down to; 0 for no limit.
    ema: decay of a moving average of the parameters (`average_params`); 0 for none.

  Returns:
    The optimizer. Options at 0 leave no trace in it, or in its state.
  """
  links = [optax.clip_by_global_norm(clip)] if clip else []
  if weight_decay:
    links.append(optax.adamw(learning_rate, weight_decay=weight_decay))
  else:
    links.append(optax.adam(learning_rate))
  if ema:
    links.append(average_params(decay=ema))
  return optax.chain(*links) if len(links) > 1 else links[0]
