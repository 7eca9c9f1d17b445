"""The command `label` as a real process: killed at any moment, with a full disk, refused."""

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.labelling import TOKEN, Client, label_of, line, save_pictures, wait_for

NAMES = tuple(f'{number}.jpg' for number in range(6))
LARGE = (300, 400)


@pytest.fixture
def start(environment, tmp_path):
  """Starts the command on a folder: `with start(folder) as (process, client)`."""

  @contextlib.contextmanager
  def run(folder, *flags, max_file=None):
    command = [sys.executable, '-m', 'experiments.label', str(folder), '--noopen_browser']
    command += ['--port=0', f'--token={TOKEN}', *flags]
    if max_file is not None:
      command = ['sh', '-c', f'ulimit -f {max_file // 512} && exec "$@"', 'sh', *command]
    with open(tmp_path / 'said', 'w+') as said:
      process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
      try:

        def address():
          assert process.poll() is None, (tmp_path / 'said').read_text()
          return re.search(r'http://127\.0\.0\.1:(\d+)/', (tmp_path / 'said').read_text())

        port = int(wait_for(address, 120).group(1))
        with Client(port) as client:
          wait_for(lambda: answers(client))
          yield process, client
      finally:
        process.kill()
        process.wait()

  return run


def answers(client):
  try:
    return client.get('/api/state').status_code == 200
  except httpx.TransportError:
    return False


@pytest.mark.heavy
def test_killed_at_any_moment_nothing_is_lost(start, tmp_path):
  """What was answered is there, to the pixel, and what was being sent is there whole or not."""
  folder = save_pictures(tmp_path / 'pictures', NAMES, LARGE)
  kept, sent = {}, {}
  for attempt in range(3):
    with start(folder) as (process, client):
      for name, seed in kept.items():
        found = client.mask(name)
        seeds = [s for s in (seed, sent[name]) if (found == label_of(s, size=LARGE)).all()]
        assert seeds, name
        kept[name] = seeds[0]
      timer = threading.Timer(0.3 + 0.4 * attempt, process.send_signal, (signal.SIGKILL,))
      timer.start()
      with contextlib.suppress(httpx.TransportError):
        for seed in range(1000 * attempt, 1000 * attempt + 1000):
          name = NAMES[seed % len(NAMES)]
          since = client.picture(name)['revision']
          sent[name] = seed
          answer = client.draw(name, label_of(seed, size=LARGE), since=since)
          assert answer.status_code == 200, answer.text
          kept[name] = seed
      timer.join()
      assert process.wait() == -signal.SIGKILL
      assert kept
  with start(folder) as (process, client):
    # And what was due is done.
    for name in NAMES[1:]:
      client.delete(f'/api/pictures/{name}/mask').raise_for_status()
    client.draw(NAMES[0], square(), first=NAMES[3]).raise_for_status()
    wait_for(lambda: client.get('/api/state').json()['counts']['waiting'] == 0, 120)
    wait_for(lambda: client.get('/api/state').json()['work'] is None)
    exported = client.post('/api/export', json={'formats': ['png'], 'what': 'all'}).json()
    with Image.open(folder / 'labels' / 'png' / '0.png') as image:
      np.testing.assert_array_equal(np.asarray(image), square())
    assert exported['files'] == 1 + len(NAMES)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


def square():
  label = np.zeros(LARGE, np.uint8)
  label[100:200, 100:300] = 1
  return label


def test_a_full_disk_is_told_and_loses_nothing(start, tmp_path):
  folder = save_pictures(tmp_path / 'pictures', NAMES, LARGE)
  kept = {}
  with start(folder, max_file=400 * 1024) as (_, client):
    for seed in range(200):
      name = NAMES[seed % len(NAMES)]
      answer = client.draw(name, label_of(seed, size=LARGE), support=0)
      if answer.status_code != 200:
        break
      kept[name] = seed
    assert 'full' in line(answer, 507)
    for name, seed in kept.items():
      np.testing.assert_array_equal(client.mask(name), label_of(seed, size=LARGE))
    assert client.get('/api/state').json()['counts']['drawn'] == len(kept)
    answer = client.post('/api/export', json={'formats': ['png', 'voc'], 'what': 'all'})
    assert answer.status_code in (200, 507)
  with start(folder) as (_, client):
    for name, seed in kept.items():
      np.testing.assert_array_equal(client.mask(name), label_of(seed, size=LARGE))
    client.draw(NAMES[0], square()).raise_for_status()


def test_one_process_a_folder(start, script, failure, tmp_path):
  folder = save_pictures(tmp_path / 'pictures', NAMES[:1])
  with start(folder):
    assert 'another process' in failure(script('label', folder, '--noopen_browser'))


def damage(folder):
  (folder / '.hsnet').mkdir()
  (folder / '.hsnet' / 'labels.sqlite').write_text('no database ' * 1000)


def from_later(folder):
  (folder / '.hsnet').mkdir()
  with contextlib.closing(sqlite3.connect(folder / '.hsnet' / 'labels.sqlite')) as made:
    made.execute('PRAGMA user_version = 99')


def test_folders_that_cannot_be_served(served, failure, tmp_path):
  """One clear line each, and nothing is written."""

  def refused(*words):
    return failure(served('label', *words, '--noopen_browser'))

  assert 'which folder' in refused()
  assert 'no such folder' in refused(tmp_path / 'none')
  empty = tmp_path / 'empty'
  empty.mkdir()
  assert 'no picture' in refused(empty)
  taken = save_pictures(tmp_path / 'taken')
  (taken / '.hsnet').write_text('in the way')
  assert 'cannot write there' in refused(taken)
  for spoil, words in ((damage, 'damaged'), (from_later, 'later version')):
    folder = save_pictures(tmp_path / spoil.__name__)
    spoil(folder)
    before = (folder / '.hsnet' / 'labels.sqlite').read_bytes()
    assert words in refused(folder)
    assert (folder / '.hsnet' / 'labels.sqlite').read_bytes() == before
  folder = save_pictures(tmp_path / 'sound')
  assert 'nowhere' in refused(folder, '--checkpoint=nowhere')
  assert 'no such folder' in refused(folder, '--import_labels=nowhere')
  assert '--port' in refused(folder, '--host=192.0.2.1')


@pytest.mark.skipif(os.name != 'posix' or os.geteuid() == 0, reason='root may write anywhere')
def test_a_folder_without_the_right_to_write(served, failure, tmp_path):
  folder = save_pictures(tmp_path / 'pictures')
  folder.chmod(0o500)
  try:
    assert 'cannot write there' in failure(served('label', folder, '--noopen_browser'))
  finally:
    folder.chmod(0o700)
