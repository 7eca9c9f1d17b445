"""Makes a model of the zoo of a checkpoint."""

import datetime
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from experiments.model_zoo.entry import Entry, described
from experiments.model_zoo.figures import find_evaluations, in_order, read_evaluation
from experiments.model_zoo.store import check_new, keep, staging
from hsnet_jax.models import digest, load_model
from hsnet_jax.weights.stored import write_model
from hsnet_jax.weights.zoo import sha256

# How far a run had come and what its validation said there, and the supports of a segmenter, which
# are people's pictures: not of the network.
_NOT_OF_THE_NETWORK = ('epoch', 'figures', 'support_classes')


def add_model(
  folder: pathlib.Path,
  name: str,
  checkpoint: str | os.PathLike | None,
  *,
  source: str | None = None,
  license: str | None = None,
  limits: str | None = None,
  results: str | os.PathLike | None = None,
) -> Entry:
  """Adds a model to a zoo, whole or not at all.

  Args:
    folder: the zoo's; made where it is missing.
    name: what it will be called.
    checkpoint: what `load_model` takes.
    source: where the weights came from; by default what the checkpoint says.
    license: by its identifier, such as 'apache-2.0'.
    limits: what it is bad at, in words.
    results: the results.json of an evaluation; by default all those beside the checkpoint.

  Returns:
    The entry.

  Raises:
    InputError: the name is taken, there is no such checkpoint, the results are of other weights,
      or the folder cannot be written to.
  """
  check_new(folder, name)
  model = load_model(checkpoint)
  assert model.path is not None
  config = {key: x for key, x in model.config.items() if key not in _NOT_OF_THE_NETWORK}
  weights = digest(model.variables)[:12]
  if results is None:
    evaluations = find_evaluations(model.path, weights=weights, config=config)
  else:
    one = read_evaluation(pathlib.Path(results).expanduser(), weights=weights)
    evaluations = in_order([one], config)
  with staging(folder) as file:
    write_model(file, model.variables, config=config)
    entry = Entry(
      name=name,
      backbone=config['backbone'],
      **described(config),
      evaluations=evaluations,
      config=config,
      source=source or _source(config),
      license=license,
      limits=limits,
      checksum=sha256(file),
      size=file.stat().st_size,
      added=now(),
    )
    keep(folder, entry, file)
  return entry


def now() -> str:
  """Returns the date and time, for an entry."""
  return datetime.datetime.now().astimezone().isoformat(' ', 'seconds')


def _source(config: Mapping[str, Any]) -> str:
  """Says where weights came from as far as a checkpoint does: it names no path."""
  if config.get('converted_from'):
    return f'converted from {config["converted_from"]}'
  if config.get('lists'):
    benchmark, fold, step = (config.get(name) for name in ('benchmark', 'fold', 'step'))
    return f'trained on {benchmark} fold {fold}, step {step}'
  return 'not stated'
