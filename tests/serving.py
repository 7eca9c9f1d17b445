"""The service over a network of 32 pixels, in a thread, spoken to over a socket."""

import base64
import contextlib
import io
import socket
import threading

import httpx
import numpy as np
import uvicorn
from PIL import Image

import hsnet_jax as hs
from experiments.serving.access import HEADER, Access, hosts_of
from experiments.serving.engine import Engine
from experiments.serving.metrics import Counted, Metrics
from experiments.serving.server import HEALTH, SEGMENT, Service, make_app
from tests import made
from tests.labelling import TOKEN, wait_for
from tests.made import SMALL

SIZE = (45, 60)


def photo(seed=0, size=SIZE):
  return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def drawn(size=SIZE, box=np.s_[10:30, 8:28]):
  mask = np.zeros(size, np.uint8)
  mask[box] = 255
  return mask


def encoded(array, kind='PNG', **options):
  out = io.BytesIO()
  Image.fromarray(array).save(out, kind, **options)
  return out.getvalue()


def base(array):
  return base64.b64encode(encoded(array)).decode()


def segmenter(**config):
  """A network of two levels that has seen no supports."""
  model = hs.Model(hs.HSNet(SMALL), made.variables(SMALL), {'image_size': 32, **config})
  return hs.Segmenter.from_pretrained(model)


def fitted(classes=None, **config):
  """The same with two supports."""
  return segmenter(**config).fit([photo(1), photo(2)], [drawn(), drawn()], classes)


def form(image, supports=(), classes=()):
  """Parts of a form, as httpx takes them."""
  files = [('image', encoded(image))]
  for one, mask in supports:
    files += [('support_images', encoded(one)), ('support_masks', encoded(mask))]
  return {'files': files, 'data': {'classes': list(classes)}}


class Client(httpx.Client):
  """Speaks to the service with its token."""

  def __init__(self, port, **headers):
    given = {HEADER: TOKEN, **headers}
    super().__init__(base_url=f'http://127.0.0.1:{port}', headers=given, timeout=60)

  def segment(self, content, kind='image/png', **options):
    headers = {'Content-Type': kind, **options.pop('headers', {})}
    return self.post(SEGMENT, content=content, headers=headers, **options)


@contextlib.contextmanager
def served(
  given,
  *,
  queue=32,
  timeout=30,
  max_side=2000,
  most_body=2**20,
  starts=True,
  token=TOKEN,
  **options,
):
  """Serves a segmenter; gives the engine and the port."""
  metrics = Metrics()
  engine = Engine(given, count=metrics.add_batch, **options)
  service = Service(engine, metrics, queue=queue, timeout=timeout, max_side=max_side)
  bound = socket.create_server(('127.0.0.1', 0))
  port = bound.getsockname()[1]
  access = Access(
    make_app(service),
    token=token,
    hosts=hosts_of('127.0.0.1', port),
    most_body=most_body,
    open_paths=(HEALTH,),
  )
  app = Counted(access, metrics, path=SEGMENT)
  server = uvicorn.Server(
    uvicorn.Config(app, log_level='critical', ws='none', lifespan='off', access_log=False)
  )
  thread = threading.Thread(target=server.run, kwargs={'sockets': [bound]})
  if starts:
    engine.start()
    wait_for(lambda: engine.is_ready)
  thread.start()
  try:
    wait_for(lambda: server.started)
    yield engine, port
  finally:
    server.should_exit = True
    thread.join()
    bound.close()
    if starts:
      engine.stop()
