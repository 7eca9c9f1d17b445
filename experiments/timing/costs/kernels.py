"""Measures every form of every kernel at the shapes that the network has."""

from collections.abc import Iterator, Sequence

from experiments.timing.costs.cases import Case, cases
from experiments.timing.costs.machine import Machine, in_turn, measure_machine
from experiments.timing.costs.pieces import make_variables, pieces
from experiments.timing.costs.scaling import USUAL, made_episodes
from experiments.timing.lines import Line, spread
from hsnet_jax.errors import InputError
from hsnet_jax.kernels.forms import FORMS
from hsnet_jax.models import describe_devices


def kernels_report(
  *,
  backbone: str,
  image_size: int,
  batch_size: int,
  rounds: int,
  peak_size: int | None,
  kernels: Sequence[str] | None = None,
) -> Iterator[str]:
  """Measures the forms of kernels, each shape's in turn.

  Args:
    backbone: its name.
    image_size: side of the images.
    batch_size: episodes a batch, of noise with an object of a fifth of the support.
    rounds: how often each is measured.
    peak_size: as `measure_machine`'s size.
    kernels: of `FORMS`, which to measure; None for all.

  Yields:
    Lines: a Markdown table. Gradients are with the values, and those that training asks for: none
    of the backbone, and of the first layer's the kernels' alone. Operations are those left where
    Eq. 1 makes the others zero; 'auto' is the form that the library takes here. Of `support_side`
    it is the whole center-pivot layer, both its sides.

  Raises:
    InputError: there is no such kernel.
  """
  kernels = kernels or list(FORMS)
  unknown = [name for name in kernels if name not in FORMS]
  if unknown:
    raise InputError(f'`kernels`: {", ".join(unknown)}: there are {", ".join(FORMS)}')
  machine = measure_machine(size=peak_size, rounds=rounds)
  yield f'device: {describe_devices()}; {machine}'
  size = f'{image_size} x {image_size}'
  yield f'kernels: {backbone}, {size}, batch {batch_size}, {rounds} rounds in turn'
  given = {**USUAL, 'size': image_size, 'batch': batch_size}
  batch = {name: value[0] for name, value in made_episodes(given).items()}
  batch |= {name: batch[name][:, 0] for name in ('support', 'support_mask')}
  parts = pieces(backbone, make_variables(backbone, train=False), batch)
  yield (
    '| kernel | shape | in the network | what | form | auto | median ms | least | most | GFLOP'
    ' | GFLOP/s | of products |'
  )
  yield '|---|---|---|---|---|---|---|---|---|---|---|---|'
  for case in cases(parts):
    if case.kernel in kernels:
      yield from _rows(case, machine, rounds)


def _rows(case: Case, machine: Machine, rounds: int) -> Iterator[Line]:
  piece, forms = case.piece, case.forms()
  for train in (False, True) if case.piece.learned else (False,):
    programs = [piece.compiled(train=train, implementation=form) for form in forms]
    operations = piece.operations(train=train)
    what = 'gradient' if train else 'forward'
    for form, taken in zip(forms, in_turn(programs, rounds=rounds), strict=True):
      seconds, auto = spread(taken), form == case.chosen
      rate = operations / seconds['median']
      milliseconds = [f'{1e3 * seconds[which]:.2f}' for which in ('median', 'least', 'most')]
      yield Line(
        f'| {case.kernel} | {piece.name} | {case.times} | {what} | {form} | {"yes" if auto else ""}'
        f' | {" | ".join(milliseconds)} | {operations / 1e9:.3g} | {rate / 1e9:.0f}'
        f' | {rate / machine.products:.0%} |',
        kernel=case.kernel,
        shape=piece.name,
        times=case.times,
        what=what,
        form=form,
        auto=auto,
        seconds=seconds,
        operations=operations,
        share_of_products=rate / machine.products,
        machine=machine._asdict(),
      )
