"""The command `serve` as a real process: what it finds, how it ends, what it refuses."""

import contextlib
import re
import signal
import subprocess
import sys

import httpx
import numpy as np
import pytest
from pycocotools import mask as coder

import hsnet_jax as hs
from tests.labelling import TOKEN, wait_for
from tests.serving import Client, drawn, encoded, photo

QUERY = photo(7, (37, 53))


@pytest.fixture(scope='module')
def fitted():
  """The network that comes with the package, small, with one support."""
  segmenter = hs.Segmenter.from_pretrained('photos', image_size=128, presence_threshold=-1.0)
  return segmenter.fit([photo(1)], [drawn()])


@pytest.fixture
def start(environment, tmp_path):
  """Starts the command: `with start('--flag=value') as (process, port)`."""

  @contextlib.contextmanager
  def run(*flags):
    command = [sys.executable, '-m', 'experiments.serve', '--port=0', *map(str, flags)]
    with open(tmp_path / 'said', 'w+') as said:
      process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
      try:

        def address():
          assert process.poll() is None, (tmp_path / 'said').read_text()
          return re.search(r'http://127\.0\.0\.1:(\d+)/', (tmp_path / 'said').read_text())

        port = int(wait_for(address, 120).group(1))
        wait_for(lambda: is_ready(port), 120)
        yield process, port
      finally:
        process.kill()
        process.wait()

  return run


def is_ready(port):
  with contextlib.suppress(httpx.TransportError):
    return httpx.get(f'http://127.0.0.1:{port}/health').status_code == 200


def is_listening(port):
  try:
    return bool(httpx.get(f'http://127.0.0.1:{port}/health'))
  except httpx.TransportError:
    return False


@pytest.mark.heavy
def test_what_was_taken_is_answered_before_the_end(start, fitted, tmp_path):
  """A signal comes in the middle of a request's body."""
  fitted.save(tmp_path / 'saved.safetensors')
  with start(f'--segmenter={tmp_path / "saved.safetensors"}', f'--token={TOKEN}') as (
    process,
    port,
  ):
    content = encoded(QUERY)

    def body():
      yield content[:100]
      with Client(port) as other:
        wait_for(lambda: 'hsnet_queue_length 1' in other.get('/metrics').text)
      process.send_signal(signal.SIGTERM)
      wait_for(lambda: not is_listening(port))
      yield content[100:]

    with Client(port) as client:
      answer = client.segment(body())
    assert answer.status_code == 200, answer.text
    found = coder.decode(answer.json()['mask'])
    np.testing.assert_array_equal(found, fitted.predict(QUERY).mask)
    process.wait(60)


@pytest.mark.parametrize(
  'flags, words',
  [
    (['--segmenter=nowhere.safetensors'], 'nowhere.safetensors'),
    (['--checkpoint=nowhere/best'], 'nowhere/best'),
    (['--support_images=a.jpg'], '--support_masks'),
    (['--support_masks=a.png'], '--support_images'),
    (['--support_images=a.jpg', '--support_masks=a.png'], 'a.jpg'),
    (['--segmenter=a', '--support_images=a.jpg'], '--segmenter'),
    (['--token=a', '--notoken'], '--notoken'),
    (['--token=a b&c'], '--token'),
    (['--host=192.0.2.1'], '--host'),
    (['--queue=0'], '--queue'),
  ],
)
def test_what_cannot_be_served_is_said_in_one_line(served, failure, tmp_path, flags, words):
  assert words in failure(served('serve', *flags, cwd=tmp_path))
