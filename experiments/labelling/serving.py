"""Opens a folder of pictures and serves its page until someone stops it."""

import contextlib
import os
import pathlib
import secrets
import threading
import webbrowser
from collections.abc import Iterator

from experiments.labelling.config import LabelConfig
from experiments.labelling.database.opened import FILE, FOLDER
from experiments.labelling.database.store import Store
from experiments.serving import listening
from experiments.storage import locks
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import writable_folder


def label(config: LabelConfig) -> None:
  """Serves the page of a folder, as the configuration says, until it is interrupted.

  Raises:
    InputError: there is no such folder or no picture in it, it cannot be written to, another
      process serves it, or there is no such checkpoint, port or package.
  """
  listening.require_packages('the page', 'fastapi', 'uvicorn')
  folder = _folder(config.pictures)
  own = writable_folder(folder / FOLDER, argument='pictures')
  with locks.alone(own, does='serves the page of these pictures'), _opened(own / FILE) as store:
    _serve(config, folder, store)


def _folder(given: str | None) -> pathlib.Path:
  if not given:
    raise InputError('which folder? name the one of your pictures, as in `hsnet label PICTURES`')
  folder = pathlib.Path(os.path.expanduser(given)).absolute()
  if not folder.is_dir():
    raise InputError(f'{folder}: no such folder of pictures')
  return folder


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[Store]:
  store = Store(path)
  try:
    yield store
  finally:
    store.database.close()


def _serve(config: LabelConfig, folder: pathlib.Path, store: Store) -> None:
  from experiments.labelling import importing
  from experiments.labelling.database import rows
  from experiments.labelling.network import Network
  from experiments.labelling.propagation import Propagation
  from experiments.labelling.server import Page, make_app
  from experiments.serving.access import COOKIE, Access, hosts_of
  from hsnet_jax import Segmenter

  output = os.path.expanduser(config.output_dir or '')
  page = Page(folder, store, pathlib.Path(output).absolute() if output else folder / 'labels')
  page.look_again()
  if not store.read(rows.find_all):
    raise InputError(f'{folder}: no picture in this folder, subfolders and links aside')
  if config.import_labels is not None:
    print(importing.take_in(store, folder, config.import_labels))
  segmenter = Segmenter.from_pretrained(config.checkpoint)
  page.propagation = Propagation(
    store, folder, lambda: Network(segmenter, most=config.supports), page.changed
  )
  bound = listening.bind(config.host, config.port)
  port = bound.getsockname()[1]
  token = config.token or secrets.token_urlsafe(24)
  access = Access(
    make_app(page),
    token=token,
    hosts=hosts_of(config.host, port),
    any_address=listening.is_everywhere(config.host),
    cookie=f'{COOKIE}-{port}',
  )
  address = f'{listening.address_of(config.host, port)}/?token={token}'
  print(f'{folder}\nopen {address}\nCtrl-C ends it; all is kept at every moment', flush=True)
  page.propagation.start()
  if config.open_browser:
    threading.Timer(0.5, webbrowser.open, (address,)).start()
  try:
    listening.run(access, bound, grace=1)
  finally:
    page.propagation.stop()
    bound.close()
