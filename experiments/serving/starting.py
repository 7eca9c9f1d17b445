"""Puts the service together, and runs it until someone stops it."""

import secrets
from typing import TYPE_CHECKING

from experiments.serving import listening
from experiments.serving.config import ServeConfig

if TYPE_CHECKING:
  from hsnet_jax import Segmenter


def serve(config: ServeConfig) -> None:
  """Serves as the configuration says, until it is interrupted; what was taken is answered.

  Raises:
    InputError: a file or a package is missing or wrong, or no port is free.
  """
  listening.require_packages('the service', 'fastapi', 'uvicorn', 'python_multipart')
  import jax

  from experiments.serving.access import COOKIE, Access, hosts_of
  from experiments.serving.engine import Engine
  from experiments.serving.metrics import Counted, Metrics
  from experiments.serving.server import HEALTH, SEGMENT, Service, make_app

  segmenter = make_segmenter(config)
  metrics = Metrics()
  rows = config.batch_size or (1 if jax.default_backend() == 'cpu' else 8)
  engine = Engine(
    segmenter,
    batch_size=rows,
    mask_value=config.mask_value,
    kept=config.kept_supports,
    count=metrics.add_batch,
  )
  limits = {'queue': config.queue, 'timeout': config.timeout, 'max_side': config.max_side}
  app = make_app(Service(engine, metrics, **limits))
  bound = listening.bind(config.host, config.port)
  port = bound.getsockname()[1]
  token = None if config.notoken else config.token or secrets.token_urlsafe(24)
  access = Access(
    app,
    token=token,
    hosts=hosts_of(config.host, port) | {name.lower() for name in config.names},
    any_address=listening.is_everywhere(config.host),
    most_body=config.max_body * 2**20,
    cookie=f'{COOKIE}-{port}',
    open_paths=(HEALTH,),
  )
  _say(config, port, token, segmenter)
  engine.start()
  try:
    # Reading, segmenting and sending have their time each.
    listening.run(Counted(access, metrics, path=SEGMENT), bound, grace=2 * config.timeout + 5)
  finally:
    engine.stop()
    bound.close()


def make_segmenter(config: ServeConfig) -> 'Segmenter':
  """Makes the segmenter of a configuration; without supports it is fitted to nothing.

  Raises:
    InputError: there is no such file, or supports and masks do not fit together.
  """
  import dataclasses

  from experiments.evaluation.inputs import read_supports
  from hsnet_jax import Segmenter

  if config.segmenter is not None:
    return Segmenter.load(config.segmenter)
  segmenter = Segmenter.from_pretrained(config.checkpoint)
  if not (config.support_images or config.support_masks):
    return segmenter
  read = read_supports(
    config.support_images,
    config.support_masks,
    size=(segmenter.image_size, segmenter.image_size),
    value=config.mask_value,
    class_name=config.support_class,
    margin=segmenter.support_margin,
  )
  # They are cut already.
  whole = dataclasses.replace(segmenter, support_margin=None)
  names = [config.support_class or 'object'] * len(read.images)
  fitted = whole.fit(list(read.images), list(read.masks), names).fitted
  return dataclasses.replace(segmenter, fitted=fitted)


def _say(config: ServeConfig, port: int, token: str | None, segmenter: 'Segmenter') -> None:
  address = listening.address_of(config.host, port)
  finds = ', '.join(segmenter.classes) if segmenter.fitted else 'what each request shows'
  print(f'finds {finds}')
  if token is None:
    print(f'no token is asked for\nopen {address}/')
  else:
    print(f'token {token}\nopen {address}/?token={token}')
  print('Ctrl-C ends it; requests that were taken are still answered', flush=True)
