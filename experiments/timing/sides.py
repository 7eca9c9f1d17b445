"""Runs one side of a comparison in a process of its own: the library, or the peer in PyTorch.

`python -m experiments.timing.sides TASK.json` loads what the task names, answers a line of JSON on
standard output to each line on standard input, and ends with the input. The line is the number of
the episode to run; the answer has `seconds`, and `peak`: the most bytes that the process held
meanwhile, above what it held when it had loaded its weights. To the line `program` the library
makes its program ready and answers what that holds, and takes by XLA's own account.
"""

import ctypes
import dataclasses
import functools
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

KINDS = ('forward', 'kshot', 'cached', 'train')


@dataclasses.dataclass(frozen=True)
class Task:
  """Says what a side computes.

  Attributes:
    side: 'library' or 'torch'.
    kind: one of `KINDS`: 1-shot logits; the vote of K shots; logits against a support set that
      is encoded already (by the peer, which has no such thing, its 1-shot logits); a training step.
    backbone: its name.
    levels: how many maps each level has, finest first.
    implementation: of the library's kernels.
    weights: a safetensors file of a published state dict.
    episodes: an .npz file: query [N, B, H, W, 3] and support [N, B, K, H, W, 3] normalized,
      support_mask [N, B, K, H, W], query_mask [N, B, H, W].
    programs: a folder where the library finds and keeps what it compiles, so that a second process
      compiles nothing; none where empty.
  """

  side: str
  kind: str
  backbone: str
  levels: tuple[int, ...]
  implementation: str = 'auto'
  weights: str = ''
  episodes: str = ''
  programs: str = ''


class Side(NamedTuple):
  """Holds what a side can do.

  Attributes:
    run: computes the episode of a number, and waits for what comes out.
    program: makes the compiled program that does so, once; None where there is none.
  """

  run: Callable[[int], Any]
  program: Callable[[], Any] | None = None


def serve(task: Task) -> None:
  """Answers the lines of standard input."""
  with np.load(task.episodes) as file:
    episodes = dict(file)
  side = {'library': library, 'torch': peer}[task.side](task, episodes)
  _give_back()
  start = _held()
  for line in sys.stdin:
    asked = line.strip()
    answer = _program(side, start) if asked == 'program' else _run(side, int(asked), start)
    print(json.dumps(answer), flush=True)


def _run(side: Side, number: int, start: int) -> dict[str, float]:
  Path('/proc/self/clear_refs').write_text('5', encoding='ascii')  # The highest begins anew.
  began = time.perf_counter()
  side.run(number)
  return {'seconds': time.perf_counter() - began, 'peak': _held('VmHWM') - start}


def _program(side: Side, start: int) -> dict[str, float]:
  """Returns bytes that the process holds for a program that is ready, and XLA's account of it."""
  assert side.program is not None, 'only the library has programs'
  found = side.program().memory_analysis()
  _give_back()
  return {
    'ready': _held() - start,
    'arguments': found.argument_size_in_bytes,
    'outputs': found.output_size_in_bytes,
    'temporaries': found.temp_size_in_bytes,
  }


def library(task: Task, episodes: dict[str, np.ndarray]) -> Side:
  """Makes the library's side."""
  import jax

  if task.programs:
    jax.config.update('jax_compilation_cache_dir', task.programs)
    jax.config.update('jax_enable_compilation_cache', True)
    # Every program, however small or fast to compile.
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
    jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)

  from hsnet_jax.inference import combine_shots, encode_support, match_shots, predict_episodes
  from hsnet_jax.model import HSNet, fold_backbone
  from hsnet_jax.weights.convert import from_torch
  from hsnet_jax.weights.files import read_tensors

  model = HSNet(task.backbone, implementation=task.implementation)
  variables = from_torch(read_tensors(Path(task.weights)), backbone=task.backbone)
  if task.kind == 'train':
    return _library_training(model, variables, episodes)
  variables = jax.block_until_ready(fold_backbone(variables, backbone=task.backbone))
  size = episodes['query'].shape[2:4]

  @jax.jit
  def shots(variables, query, support, mask):
    return predict_episodes(model, variables, query, support, mask)

  @jax.jit
  def cached(variables, query, support_set):
    features: Any = model.apply(variables, query, method='encode')
    return match_shots(model, variables, features, support_set, output_size=size)

  encode = jax.jit(lambda *args: encode_support(model, *args))

  @functools.cache
  def program() -> Any:
    return (cached if task.kind == 'cached' else shots).lower(*given(0)).compile()

  def given(number: int) -> tuple:
    query, support, mask = (episodes[k][number] for k in ('query', 'support', 'support_mask'))
    return (variables, query, *((sets[number],) if sets else (support, mask)))

  def run(number: int) -> Any:
    return jax.block_until_ready(combine(program()(*given(number))))

  combine = jax.jit(lambda logits: combine_shots(logits).mask if len(logits) > 1 else logits)
  pairs = zip(episodes['support'], episodes['support_mask'], strict=True)
  sets = []
  if task.kind == 'cached':
    sets = [jax.block_until_ready(encode(variables, s[0], m[0])) for s, m in pairs]
  return Side(run, program)


def _library_training(model, variables, episodes) -> Side:
  import jax
  import optax

  from hsnet_jax.inference import predict_episodes
  from hsnet_jax.training.losses import cross_entropy

  tx = optax.adam(1e-3)
  variables = jax.device_put(variables)
  state = variables['params'], tx.init(variables['params'])

  # The frozen weights are an argument: constants would be in the program, several times.
  @jax.jit
  def step(variables, params, opt_state, batch):
    def loss(params):
      given = (batch[key] for key in ('query', 'support', 'support_mask'))
      found = predict_episodes(model, variables | {'params': params}, *given)
      return cross_entropy(found[0], batch['query_mask']).mean()

    value, gradients = jax.value_and_grad(loss)(params)
    updates, opt_state = tx.update(gradients, opt_state)
    return value, optax.apply_updates(params, updates), opt_state

  def given(number: int) -> tuple:
    # The state stays: each round takes the same step.
    return (variables, *state, {name: value[number] for name, value in episodes.items()})

  @functools.cache
  def program() -> Any:
    return step.lower(*given(0)).compile()

  return Side(lambda number: jax.block_until_ready(program()(*given(number))), program)


def peer(task: Task, episodes: dict[str, np.ndarray]) -> Side:
  """Makes PyTorch's side."""
  import torch
  from safetensors.numpy import load_file

  from experiments.timing.peer import forward

  state = {
    name.removeprefix('module.'): torch.from_numpy(value)
    for name, value in load_file(task.weights).items()
  }

  def images(name: str, number: int) -> Any:
    moved = np.ascontiguousarray(np.moveaxis(episodes[name][number], -1, -3))
    return torch.from_numpy(moved)

  def logits(query, support, mask):
    return forward(state, query, support, mask, backbone=task.backbone, levels=task.levels)

  def run(number: int) -> Any:
    query, support = (images(name, number) for name in ('query', 'support'))
    mask = torch.from_numpy(episodes['support_mask'][number].astype(np.float32))
    if task.kind == 'train':
      target = torch.from_numpy(episodes['query_mask'][number].astype(np.int64))
      optimizer.zero_grad()
      torch.nn.functional.cross_entropy(logits(query, support[:, 0], mask[:, 0]), target).backward()
      return optimizer.step()
    with torch.no_grad():
      shots = [logits(query, support[:, k], mask[:, k]) for k in range(support.shape[1])]
      if len(shots) == 1:
        return shots[0]
      votes = torch.stack([s.argmax(dim=1) for s in shots]).sum(dim=0)
      most = votes.amax(dim=(-2, -1), keepdim=True).clamp(min=1)
      return votes / most >= 0.5

  if task.kind == 'train':
    learnable = [v.requires_grad_() for k, v in state.items() if k.startswith('hpn_learner.')]
    optimizer = torch.optim.Adam(learnable, lr=1e-3)
  return Side(run)


def _give_back() -> None:
  """Gives back what loading or tracing has freed: a run would take its memory from it, unseen."""
  gc.collect()
  trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)  # glibc's.
  if trim is not None:
    trim(0)


def _held(what: str = 'VmRSS') -> int:
  """Returns bytes of memory that the process holds, or has held."""
  lines = Path('/proc/self/status').read_text(encoding='ascii').splitlines()
  return next(int(line.split()[1]) for line in lines if line.startswith(f'{what}:')) * 1024


if __name__ == '__main__':
  given = json.loads(Path(sys.argv[1]).read_text(encoding='utf-8'))
  serve(Task(**given | {'levels': tuple(given['levels'])}))
