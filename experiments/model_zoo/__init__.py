"""Keeps trained models by name: one file each, and a database of what they are and reach.

`entry` is what is known of a model, `store` the folder where entries and files lie, `adding` makes
an entry of a checkpoint, `figures` reads what its evaluations say. `card` describes a model on the
Hugging Face Hub, `hub` takes it there and back; `listing` is what a terminal shows.
"""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from experiments.model_zoo.adding import add_model
  from experiments.model_zoo.card import model_card
  from experiments.model_zoo.entry import Entry, Summary
  from experiments.model_zoo.hub import pull_model, push_model
  from experiments.model_zoo.store import find_model, list_models, remove_model, verify_model

__all__ = [
  'Entry',
  'Summary',
  'add_model',
  'find_model',
  'list_models',
  'model_card',
  'pull_model',
  'push_model',
  'remove_model',
  'verify_model',
]

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.adding': ('add_model',),
    '.card': ('model_card',),
    '.entry': ('Entry', 'Summary'),
    '.hub': ('pull_model', 'push_model'),
    '.store': ('find_model', 'list_models', 'remove_model', 'verify_model'),
  },
)
