"""Measures the parts of a forward pass or a training step, each in a program of its own."""

from collections.abc import Iterator
from typing import Any

import jax

from experiments.timing.costs.machine import Machine, in_turn, measure_machine
from experiments.timing.costs.pieces import make_variables, pieces
from experiments.timing.in_turn import load_episodes
from experiments.timing.lines import Line, spread
from hsnet_jax.inference import predict_episodes
from hsnet_jax.model import HSNet
from hsnet_jax.models import describe_devices
from hsnet_jax.training.losses import cross_entropy


def parts_report(
  *,
  train: bool,
  backbone: str,
  image_size: int,
  batch_size: int,
  rounds: int,
  peak_size: int | None,
  fold: int,
  data_dir: str | None,
  splits_dir: str | None,
) -> Iterator[str]:
  """Measures each part, the whole, and what share of the machine's limit they reach.

  Args:
    train: whether gradients of what is learned are computed too.
    backbone: its name; weights are random.
    image_size: side of the images.
    batch_size: episodes a batch.
    rounds: how often each is measured, in turn.
    peak_size: as `measure_machine`'s size.
    fold: whose episodes.
    data_dir: the folder of PASCAL-5i's photographs; None for drawn shapes.
    splits_dir: the folder of its lists.

  Yields:
    Lines: a Markdown table. Operations are those left where Eq. 1 makes the others zero; the limit
    is the time that they would take at the rate of the machine's products.
  """
  machine = measure_machine(size=peak_size, rounds=rounds)
  yield f'device: {describe_devices()}; {machine}'
  what = 'training step, without its optimizer' if train else 'forward'
  yield f'{what}, by part: {backbone}, {image_size} x {image_size}, batch {batch_size}, 1-shot'
  episodes = load_episodes(
    data_dir,
    splits_dir=splits_dir,
    fold=fold,
    backbone=backbone,
    image_size=image_size,
    batch_size=batch_size,
    shots=1,
    count=1,
  )
  batch = {name: value[0] for name, value in episodes.items()}
  batch |= {name: batch[name][:, 0] for name in ('support', 'support_mask')}
  variables = make_variables(backbone, train=train)
  parts = list(pieces(backbone, variables, batch))
  functions = [part.compiled(train=train) for part in parts]
  whole = _whole(backbone, variables, batch, train=train)
  *seconds, total = in_turn([*functions, whole], rounds=rounds)
  operations = [part.operations(train=train) for part in parts]
  yield '| part | median ms | least | most | of all | GFLOP | GFLOP/s | of the limit |'
  yield '|---|---|---|---|---|---|---|---|'
  summed = [sum(each) for each in zip(*seconds, strict=True)]
  names = [*(part.name for part in parts), 'all parts', 'the whole program']
  taken = [*seconds, summed, total]
  needed = [*operations, *[sum(operations)] * 2]
  for name, one, count in zip(names, taken, needed, strict=True):
    yield _row(name, one, count, of=spread(summed)['median'], machine=machine)


def _row(name: str, taken: list[float], needed: float, *, of: float, machine: Machine) -> Line:
  seconds = spread(taken)
  median = seconds['median']
  milliseconds = ' | '.join(f'{1e3 * seconds[which]:.1f}' for which in ('median', 'least', 'most'))
  share = needed / machine.products / median
  return Line(
    f'| {name} | {milliseconds} | {median / of:.0%} | {needed / 1e9:.2f}'
    f' | {needed / median / 1e9:.0f} | {share:.0%} |',
    part=name,
    seconds=seconds,
    operations=needed,
    share_of_limit=share,
    machine=machine._asdict(),
  )


def _whole(backbone: str, variables: Any, batch: Any, *, train: bool) -> Any:
  """Makes a function that computes all parts in one program."""
  model = HSNet(backbone)
  keys = 'query', 'support', 'support_mask'
  query, support, mask = (batch[key] for key in keys)

  def logits(params, variables, query, support, mask):
    given = {**variables, 'params': params}
    return predict_episodes(model, given, query, support[:, None], mask[:, None])[0]

  def loss(params, target, *rest):
    return cross_entropy(logits(params, *rest), target).mean()

  rest = {'backbone': variables['backbone']}, query, support, mask
  if train:
    step = jax.jit(jax.value_and_grad(loss))
    return lambda: step(variables['params'], batch['query_mask'], *rest)
  forward = jax.jit(logits)
  return lambda: forward(variables['params'], *rest)
