"""Keeps trained models by name, with what they are and reach.

Examples, from the checkout's folder:

  What there is, and all that is known of one (photos comes with the package):
    python -m experiments.zoo list
    python -m experiments.zoo show photos

  A checkpoint becomes a model, with the figures that evaluate wrote beside it:
    python -m experiments.zoo add dogs --checkpoint=runs/pascal --license=apache-2.0 \\
      --limits="Small dogs, and dogs beside wolves."

  Its name takes a checkpoint's place in all commands, and in Python:
    python -m experiments.predict --checkpoint=dogs --support_images=dog1.jpg \\
      --support_masks=dog1.png --query=pictures

  Whether the files are what was added (of one model, or of all); removed:
    python -m experiments.zoo verify
    python -m experiments.zoo remove dogs

  To a repository of one's own on the Hugging Face Hub, private unless --public; and from one:
    python -m experiments.zoo push dogs --repo=user/dogs
    python -m experiments.zoo pull dogs --repo=user/dogs

Models lie in $HSNET_ZOO, or else in the user's folder for data (~/.local/share/hsnet_jax/zoo);
--zoo names another folder for this command. docs/zoo.md says more.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from experiments.command import app
from hsnet_jax.errors import InputError
from hsnet_jax.weights.zoo import zoo_folder

# Words that may be given beside flags: a verb and a name.
WORDS = 2

_ZOO = flags.DEFINE_string('zoo', None, "The zoo's folder, in place of the user's own.")
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', None, "add: a checkpoint's folder, its run's, or a .safetensors."
)
_RESULTS = flags.DEFINE_string(
  'results', None, 'add: results.json of an evaluation. Default: all those beside the checkpoint.'
)
_SOURCE = flags.DEFINE_string(
  'source', None, 'add: where the weights came from. Default: what the checkpoint says.'
)
_LICENSE = flags.DEFINE_string('license', None, 'add: such as apache-2.0.')
_LIMITS = flags.DEFINE_string('limits', None, 'add: what the model is bad at, in words.')
_REPO = flags.DEFINE_string('repo', None, 'push, pull: the repository on the Hub, USER/NAME.')
_PUBLIC = flags.DEFINE_bool('public', False, 'push: a new repository is for everyone to see.')


def main(words: Sequence[str]) -> None:
  """Does what the verb says."""
  verb, name = [*words, '', ''][:2]
  if verb not in _VERBS:
    raise InputError(f'say what to do: one of {", ".join(_VERBS)}' + (f', not {verb}' * bool(verb)))
  if verb not in ('list', 'verify') and not name:
    raise InputError(f'{verb} needs a name: experiments.zoo {verb} NAME')
  if verb == 'list' and name:
    raise InputError(f'list takes no name; experiments.zoo show {name} shows one')
  _VERBS[verb](pathlib.Path(_ZOO.value).expanduser() if _ZOO.value else zoo_folder(), name)


def _list(folder: pathlib.Path, name: str) -> None:
  from experiments.model_zoo.listing import list_text
  from experiments.model_zoo.store import list_models

  print(list_text(list_models(folder)))


def _show(folder: pathlib.Path, name: str) -> None:
  from experiments.model_zoo.listing import show_text
  from experiments.model_zoo.store import find_model, path_of

  entry = find_model(folder, name)
  print(show_text(entry, path_of(folder, entry)))


def _add(folder: pathlib.Path, name: str) -> None:
  if _CHECKPOINT.value is None:
    raise InputError('`checkpoint` is missing: name the folder of a checkpoint or of a run')
  from experiments.model_zoo.adding import add_model

  entry = add_model(
    folder,
    name,
    _CHECKPOINT.value,
    source=_SOURCE.value,
    license=_LICENSE.value,
    limits=_LIMITS.value,
    results=_RESULTS.value,
  )
  print(f'{name}: added, {entry.size:,} bytes; evaluations: {len(entry.evaluations)}')


def _verify(folder: pathlib.Path, name: str) -> None:
  from experiments.model_zoo.store import list_models, verify_model

  names = [name] if name else [summary.name for summary in list_models(folder)]
  wrong = []
  for one in names:
    try:
      print(f'{one}: as it was added, SHA-256 {verify_model(folder, one).checksum}')
    except InputError as error:
      if name:
        raise
      wrong.append(one)
      print(error)
  if wrong:
    raise InputError(f'{len(wrong)} of {len(names)} models are not as added: {", ".join(wrong)}')


def _remove(folder: pathlib.Path, name: str) -> None:
  from experiments.model_zoo.store import remove_model

  remove_model(folder, name)
  print(f'{name}: removed')


def _push(folder: pathlib.Path, name: str) -> None:
  from experiments.model_zoo.hub import push_model

  print(f'{name}: at {push_model(folder, name, repo=_REPO.value or "", public=_PUBLIC.value)}')


def _pull(folder: pathlib.Path, name: str) -> None:
  from experiments.model_zoo.hub import pull_model

  entry = pull_model(folder, name, repo=_REPO.value or '')
  print(f'{name}: added, {entry.size:,} bytes; evaluations: {len(entry.evaluations)}')


_VERBS = {
  'list': _list,
  'show': _show,
  'add': _add,
  'verify': _verify,
  'remove': _remove,
  'push': _push,
  'pull': _pull,
}


if __name__ == '__main__':
  app.run(main, words=WORDS)
