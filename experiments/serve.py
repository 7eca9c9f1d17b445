"""Serves a segmenter over HTTP: pictures come, masks go back.

Needs `pip install '.[page]'`. Examples, from the checkout's folder:

  Each request brings its supports:
    python -m experiments.serve

  One thing for all requests:
    python -m experiments.serve --support_images=leaf.jpg --support_masks=leaf.png

  What `Segmenter.save` wrote, for others in the network, with a token of one's own:
    python -m experiments.serve --segmenter=leaves.safetensors --host=0.0.0.0 --token=SECRET

  Then, from another shell:
    curl -H 'X-Hsnet-Token: SECRET' -H 'Content-Type: image/jpeg' --data-binary @query.jpg \\
      'http://127.0.0.1:8700/segment?format=png'

POST /segment takes a picture, a form or JSON; GET /health, /metrics and /openapi.json tell of the
service, and / lists the routes for a reader. What is wrong with a request is answered with one
line. Nothing of a request is kept on the disk, nothing of it is run. It listens on this machine
alone, asks for a token that is drawn at each start, and refuses what web pages of other sites send.
"""

from experiments.command import app
from experiments.command.cache import define_cache
from experiments.command.flags import config_from_flags, define_flags
from experiments.serving.config import ServeConfig

define_flags(ServeConfig)
define_cache()


def main() -> None:
  """Serves as the flags say."""
  from experiments.serving.starting import serve

  serve(config_from_flags(ServeConfig))


if __name__ == '__main__':
  app.run(main)
