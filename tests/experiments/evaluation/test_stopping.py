"""Whatever ends a prediction, the next one does the rest, and all is as if nothing had ended."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data_pipelines.reading.images import read_image
from experiments.evaluation import predicting
from experiments.evaluation.predicting import predict
from experiments.evaluation.prediction.segmenting import Segmented
from hsnet_jax.models import load_model
from tests.experiments.evaluation.given import contents, picture

PICTURES = 40


class Killed(BaseException):
  """Ends this process as far as a test goes: nothing is written any more."""


def kill_at(monkeypatch, number):
  """Lets the n-th file, and each after it, not come to its place."""
  replace, calls = os.replace, []

  def counted(part, path):
    calls.append(path)
    if len(calls) > number:
      raise Killed
    replace(part, path)

  monkeypatch.setattr(os, 'replace', counted)
  return calls


def held(folder):
  """{name: bytes} of all files below a folder, hidden ones too."""
  return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


@pytest.mark.usefixtures('quick')
def test_stopped_at_each_file_the_next_run_does_the_rest(config, run, tmp_path, monkeypatch):
  model = load_model(run)
  monkeypatch.setattr(predicting, 'load_model', lambda _: model)
  queries = [picture(tmp_path / f'{i}.png', size=(20, 10)) for i in range(2)]
  options = {'formats': ('coco', 'yolo')}

  def predict_into(name):
    return predict(config(*queries, output_dir=str(tmp_path / name), **options))

  predict_into('whole')
  expected = held(tmp_path / 'whole')
  with pytest.MonkeyPatch.context() as patch:
    calls = kill_at(patch, 1000)
    predict_into('counted')
    total = len(calls)
  assert held(tmp_path / 'counted') == expected and total >= len(expected)
  for number in range(total):
    with pytest.MonkeyPatch.context() as patch:
      kill_at(patch, number)
      with pytest.raises(Killed):
        predict_into(f'stopped{number}')
    predict_into(f'stopped{number}')
    assert held(tmp_path / f'stopped{number}') == expected, number


def test_an_interruption_keeps_what_is_finished(config, tmp_path, monkeypatch):
  queries = [picture(tmp_path / f'{i}.png') for i in range(3)]
  out = tmp_path / 'deep' / 'out'

  def segment(predict_batch, queries, **_):
    for query in queries[:2]:
      image = read_image(query.path)
      yield Segmented(query, image, np.ones(image.shape[:2], np.uint8), 0.75, 0.5)
    assert {p.name for p in out.iterdir()} == expected, 'they have their names at once'
    raise KeyboardInterrupt

  expected = {f'{i}_{kind}.png' for i in range(2) for kind in ('predicted', 'overlay')}
  monkeypatch.setattr(predicting, 'segment_files', segment)
  with pytest.raises(KeyboardInterrupt):
    predict(config(*queries))
  assert set(contents(out)) == expected
  assert len((out / 'summary.csv').read_text().splitlines()) == 3, 'of what is done'


@pytest.mark.usefixtures('quick')
def test_what_is_done_is_passed_over_unless_asked_for_again(config, tmp_path, monkeypatch, capsys):
  queries = [picture(tmp_path / f'{i}.png') for i in range(3)]
  out, asked = tmp_path / 'deep' / 'out', []
  segment = predicting.segment_files

  def seen(predict_batch, queries, passed, **options):
    asked.append([query.path.stem for query in queries if query not in passed])
    yield from segment(predict_batch, queries, passed=passed, **options)

  monkeypatch.setattr(predicting, 'segment_files', seen)
  masks = predict(config(*queries[:2]))
  assert 'skipped' not in capsys.readouterr().out
  (out / '1_overlay.png').unlink()
  first = contents(out)
  assert predict(config(*queries)) == [*masks, out / '2_predicted.png']
  said = capsys.readouterr().out
  assert 'skipped: 1 of 3' in said and '3 masks' in said and '1 of them from earlier' in said
  assert contents(out).items() > first.items()
  predict(config(*queries, again=True))
  assert 'skipped' not in capsys.readouterr().out
  predict(config(*queries))
  assert asked == [['0', '1'], ['1', '2'], ['0', '1', '2'], []]
  with open(out / 'summary.csv') as file:
    assert len(file.readlines()) == 3, 'that of two queries stays'
  with open(out / 'summary-2.csv') as file:
    assert len(file.readlines()) == 4


def shown(folder):
  """{name: bytes} of the files that a user sees."""
  return {name: data for name, data in held(folder).items() if not name.startswith('.')}


@pytest.mark.heavy  # Starts eight processes.
def test_killed_at_any_moment_each_picture_is_done_once(run, config, tmp_path, environment):
  queries = tmp_path / 'queries'
  queries.mkdir()
  for i in range(PICTURES):
    picture(queries / f'{i:02}.png', size=(40 + i, 30))
  given = config(queries)
  command = [sys.executable, '-m', 'experiments.predict', f'--checkpoint={run}']
  command += [f'--support_images={",".join(given.support_images)}']
  command += [f'--support_masks={",".join(given.support_masks)}', f'--query={queries}']

  def start(folder):
    return subprocess.Popen([*command, f'--output_dir={folder}'], env=environment)

  assert start(tmp_path / 'whole').wait() == 0
  expected = shown(tmp_path / 'whole')
  assert len([name for name in expected if name.endswith('_predicted.png')]) == PICTURES
  stopped, rng, done = tmp_path / 'stopped', random.Random(), {}

  def masks():
    return {p.name: p.stat().st_mtime_ns for p in stopped.glob('[0-9]*_predicted.png')}

  for _ in range(6):
    process, more = start(stopped), len(done) + rng.randrange(PICTURES // 4)
    while process.poll() is None and len(masks()) < more:
      time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.02))
    process.kill()
    assert process.wait() in (0, -signal.SIGKILL)
    now = masks()
    assert done.items() <= now.items(), 'what is done is not done again'
    done = now
  assert start(stopped).wait() == 0
  assert done.items() <= masks().items() and len(masks()) == PICTURES
  assert shown(stopped) == expected
