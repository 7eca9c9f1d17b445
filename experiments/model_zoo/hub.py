"""Takes a model to a repository of the user's own on the Hugging Face Hub, and back.

A repository holds `model.safetensors`, `zoo.json`, the entry, and the card. What is asked of the
Hub is asked of one object by five methods of `huggingface_hub.HfApi`; tests give another one.
"""

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from experiments.model_zoo.adding import now
from experiments.model_zoo.card import model_card
from experiments.model_zoo.entry import Entry, described, read_entry, to_text
from experiments.model_zoo.store import check_new, keep, path_of, staging, verify_model
from hsnet_jax.errors import InputError
from hsnet_jax.weights.stored import read_model
from hsnet_jax.weights.zoo import sha256
from hsnet_jax.whole_files import is_unreadable

MODEL, RECORD, CARD = 'model.safetensors', 'zoo.json', 'README.md'


def push_model(
  folder: pathlib.Path, name: str, *, repo: str, public: bool = False, api: Any = None
) -> str:
  """Uploads a model with its card, in one commit.

  Args:
    folder: the zoo's.
    name: the model's.
    repo: the repository, such as 'user/dogs'; made where it is missing.
    public: whether a new repository is for everyone to see.
    api: a `huggingface_hub.HfApi`; by default one with the token that `hf auth login` stored.

  Returns:
    The repository's page.

  Raises:
    InputError: there is no such model, its file has changed, the repository holds what no zoo
      wrote, or the Hub cannot be reached or refuses.
  """
  _check_repo(repo)
  entry = verify_model(folder, name)
  api = api or _hub()
  with tempfile.TemporaryDirectory(prefix='hsnet') as made:
    whole = pathlib.Path(made)
    shutil.copyfile(path_of(folder, entry), whole / MODEL)
    (whole / RECORD).write_text(to_text(entry), encoding='utf-8')
    (whole / CARD).write_text(model_card(entry, repo=repo), encoding='utf-8')
    with _naming_hub(repo, 'push'):
      if api.repo_exists(repo):
        held = set(api.list_repo_files(repo))
        if RECORD not in held and held & {MODEL, CARD}:
          raise InputError(f'{repo}: holds files that no zoo wrote; name another with `repo`')
      else:
        api.create_repo(repo, private=not public, exist_ok=True)
      message = f'{name}, SHA-256 {entry.checksum[:12]}'
      api.upload_folder(repo_id=repo, folder_path=made, commit_message=message)
  return f'https://huggingface.co/{repo}'


def pull_model(folder: pathlib.Path, name: str, *, repo: str, api: Any = None) -> Entry:
  """Downloads a model that `push_model` uploaded, and adds it, whole or not at all.

  Nothing that comes with it is run, and its entry is read as what a stranger wrote.

  Args:
    folder: the zoo's; made where it is missing.
    name: what it will be called.
    repo: the repository, such as 'user/dogs'.
    api: as for `push_model`.

  Returns:
    The entry.

  Raises:
    InputError: the name is taken, the repository holds no such model, the file is not the one that
      the entry is of, or the Hub cannot be reached.
  """
  _check_repo(repo)
  check_new(folder, name)
  api = api or _hub()
  with _naming_hub(repo, 'pull'):
    record, model = (pathlib.Path(api.hf_hub_download(repo, file)) for file in (RECORD, MODEL))
  told = read_entry(record, source=f'{repo}/{RECORD}')
  with staging(folder) as file:
    shutil.copyfile(model, file)
    checksum = sha256(file)
    if checksum != told.checksum:
      raise InputError(
        f'{repo}: {MODEL} is not the file that its entry is of: SHA-256 {checksum}, not'
        f' {told.checksum}; pull again, or ask who uploaded it'
      )
    _, config = read_model(file)
    entry = dataclasses.replace(
      told,
      name=name,
      backbone=config['backbone'],
      config=config,
      **described(config),
      source=f'{repo} on the Hugging Face Hub; {told.source}',
      size=file.stat().st_size,
      added=now(),
    )
    keep(folder, entry, file)
  return entry


def _check_repo(repo: str | None) -> None:
  parts = (repo or '').split('/')
  if len(parts) != 2 or not all(parts):
    raise InputError('`repo` must be USER/NAME, a repository on the Hugging Face Hub')


def _hub() -> Any:
  import huggingface_hub

  return huggingface_hub.HfApi()


@contextlib.contextmanager
def _naming_hub(repo: str, verb: str) -> Iterator[None]:
  """Makes an InputError of what fails on the way to the Hub."""
  try:
    yield
  except InputError:
    raise
  except Exception as error:  # network, proxy, token and cache each fail in ways of their own
    if is_unreadable(error):
      raise
    reason = (str(error).splitlines() or [''])[0] or type(error).__name__
    raise InputError(
      f'{repo}: could not {verb} ({reason}); the name must be right, "hf auth login" done, and the'
      ' Hub within reach. Without it all but push and pull works: the models of the zoo are here'
    ) from error
