"""Requests as they come: drawn from the description, and from many clients at a time."""

import collections
import subprocess
import sys
import threading
import time

import pytest

from experiments.serving.access import HEADER
from tests.labelling import TOKEN
from tests.serving import Client, drawn, encoded, fitted, form, photo, served

SECONDS = 8
IMAGE = encoded(photo(3))
# What a client sends, and what comes back.
REQUESTS = (
  (200, {'content': IMAGE, 'headers': {'Content-Type': 'image/png'}}),
  (200, form(photo(4, (70, 50)), [(photo(5), drawn())])),
  (200, form(photo(6), [(photo(7), drawn()), (photo(8), drawn())], ['a', 'b'])),
  (422, {'content': IMAGE[:3000], 'headers': {'Content-Type': 'image/png'}}),
  (422, form(photo(4), [(photo(5), drawn((20, 20)))])),
  (422, {'json': {'image': 'no base64'}}),
  (415, {'content': IMAGE, 'headers': {'Content-Type': 'text/plain'}}),
  (413, {'content': bytes(2**20 + 1)}),
  (403, {'content': IMAGE, 'headers': {HEADER: 'wrong'}}),
)


@pytest.mark.heavy
def test_requests_drawn_from_the_description():
  """By schemathesis: no answer that the description lacks, and none that is a failure here.

  That a request which fits is also accepted is not asked: no description says which bytes are a
  picture.
  """
  pytest.importorskip('schemathesis')
  with served(fitted()) as (_, port):
    command = [sys.executable, '-m', 'schemathesis.cli', 'run', '--checks=all', '--seed=1']
    command += ['--exclude-checks=positive_data_acceptance', '--max-examples=150', '--no-color']
    command += [f'--header={HEADER}: {TOKEN}', f'http://127.0.0.1:{port}/openapi.json']
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    with Client(port) as client:
      said = client.get('/metrics').text
    assert 'status="422"' in said and 'status="500"' not in said


@pytest.mark.heavy
def test_of_many_clients_none_is_lost():
  """Eight of them, good requests and bad ones: each gets the answer that is its own."""
  counts, wrong = collections.Counter(), []

  def ask(first, port):
    with Client(port) as client:
      at, end = first, time.monotonic() + SECONDS
      while time.monotonic() < end:
        status, request = REQUESTS[at % len(REQUESTS)]
        answer = client.post('/segment', **request)
        counts[status] += 1
        if answer.status_code != status:
          wrong.append((status, answer.status_code, answer.text[:200]))
        at += 1

  with served(fitted(), kept=2) as (_, port):
    threads = [threading.Thread(target=ask, args=(first, port)) for first in range(8)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    with Client(port) as client:
      said = dict(row.rsplit(' ', 1) for row in client.get('/metrics').text.splitlines())
  assert not wrong and set(counts) == {status for status, _ in REQUESTS}
  for status, count in counts.items():
    assert int(said[f'hsnet_requests_total{{status="{status}"}}']) == count
  assert said['hsnet_queue_length'] == '0'
