"""A folder of small pictures, and the page's server in a thread, spoken to over a socket."""

import contextlib
import dataclasses
import io
import socket
import threading
import time

import httpx
import numpy as np
import uvicorn
from PIL import Image

from experiments.labelling.database.store import Store
from experiments.labelling.network import Answer
from experiments.labelling.propagation import Propagation
from experiments.labelling.server import Page, make_app
from experiments.serving.access import HEADER, Access, hosts_of

TOKEN = 'token-of-the-tests'
SIZE = (30, 40)


def save_pictures(folder, names=('a.jpg', 'b.jpg', 'c.jpg'), size=SIZE):
  """Saves noise, another in each picture."""
  folder.mkdir(parents=True, exist_ok=True)
  for seed, name in enumerate(names):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)
  return folder


def label_of(seed=0, *, size=SIZE, classes=1):
  """Any label: every pixel for itself."""
  return np.random.default_rng(seed).integers(0, classes + 1, size, dtype=np.uint8)


def png(array):
  out = io.BytesIO()
  Image.fromarray(array).save(out, 'PNG')
  return out.getvalue()


def pixels_of(data):
  with Image.open(io.BytesIO(data)) as image:
    return np.asarray(image)


def wait_for(what, seconds=60):
  """Waits until something is so; fails where it does not come to be."""
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    if found := what():
      return found
    time.sleep(0.02)
  raise AssertionError(f'not so within {seconds} s')


def line(answer, status):
  """Returns the one line of a refusal."""
  assert answer.status_code == status, answer.text
  detail = answer.json()['detail']
  assert len(detail.splitlines()) == 1 and 'Traceback' not in detail
  return detail


@dataclasses.dataclass
class Drawn:
  """Stands for a fit: finds in each picture what is brighter than its mean."""

  network: 'FakeNetwork'
  counts: tuple[int, ...] = (1,)

  def predict(self, image):
    self.network.seen.append(int(image.sum()))
    if self.network.wait is not None:
      self.network.wait.acquire()
    label = (image.mean(axis=2) > image.mean()).astype(np.uint8)
    return Answer(label * self.network.value, 0.5, float(image.mean()))


class FakeNetwork:
  """Stands for `Network`: no JAX, and each prediction waits until it may go on."""

  def __init__(self):
    self.seen, self.fits, self.value, self.wait = [], 0, 1, None

  def fit(self, store, folder):
    del store, folder
    self.fits += 1
    return Drawn(self), None

  def warm_up(self, size, *, supports=1):
    pass


class Client(httpx.Client):
  """Speaks to the page as a browser does that has the token."""

  def __init__(self, port, **headers):
    given = {HEADER: TOKEN, **headers}
    super().__init__(base_url=f'http://127.0.0.1:{port}', headers=given, timeout=60)

  def picture(self, name):
    return self.get(f'/api/pictures/{name}').raise_for_status().json()

  def draw(self, name, label, *, since=None, **options):
    since = self.picture(name)['revision'] if since is None else since
    return self.put(
      f'/api/pictures/{name}/mask',
      content=png(label),
      headers={'If-Match': str(since)},
      params=options,
    )

  def mask(self, name):
    return pixels_of(self.get(f'/api/pictures/{name}/mask').raise_for_status().content)


@contextlib.contextmanager
def served(folder, *, network=None):
  """Serves a folder; gives the page and its port."""
  (folder / '.hsnet').mkdir(exist_ok=True)
  store = Store(folder / '.hsnet' / 'labels.sqlite')
  page = Page(folder, store, folder / 'labels')
  page.look_again()
  if network is not None:
    page.propagation = Propagation(store, folder, lambda: network, page.changed)
    page.propagation.start()
  bound = socket.create_server(('127.0.0.1', 0))
  port = bound.getsockname()[1]
  app = Access(make_app(page), token=TOKEN, hosts=hosts_of('127.0.0.1', port))
  options = {'log_level': 'critical', 'ws': 'none', 'lifespan': 'off', 'access_log': False}
  server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=1, **options))
  thread = threading.Thread(target=server.run, kwargs={'sockets': [bound]})
  thread.start()
  try:
    wait_for(lambda: server.started)
    yield page, port
  finally:
    server.should_exit = True
    thread.join()
    bound.close()
    if page.propagation is not None:
      if network is not None and network.wait is not None:
        network.wait.release(1000)
      page.propagation.stop()
    store.database.close()
