"""Entries and files: whole or not at all, by several processes, and what is damaged."""

import os
import pathlib
import signal
import sqlite3
import stat
import subprocess
import sys
import time

import pytest

from experiments.model_zoo import (
  Entry,
  Summary,
  find_model,
  list_models,
  remove_model,
  verify_model,
)
from experiments.model_zoo.store import check_new, path_of, staging
from hsnet_jax.errors import InputError
from hsnet_jax.weights.zoo import DATABASE, MODELS
from tests.experiments.model_zoo.given import EVALUATION, entry_of, put


def names(folder):
  return [summary.name for summary in list_models(folder)]


def files(folder):
  return sorted(path.name for path in (folder / MODELS).iterdir())


def test_a_model_is_kept_found_and_removed(tmp_path):
  folder = tmp_path / 'new' / 'zoo'
  assert names(folder) == ['photos'] and not folder.exists()
  entry = put(folder, evaluations=(EVALUATION,), license='mit', limits='cats')
  assert isinstance(entry, Entry)
  assert find_model(folder, 'dogs') == entry == verify_model(folder, 'dogs')
  assert path_of(folder, entry).read_bytes() == b'a model'
  assert list_models(folder)[1] == entry.summary
  assert entry.summary == Summary(
    'dogs', 'tiny', 'shapes', 1, 1, 60.25, 58.5, 62.0, 7, '2026-01-01 00:00:00+00:00'
  )
  put(folder, 'cats')
  assert names(folder) == ['photos', 'cats', 'dogs']
  remove_model(folder, 'dogs')
  assert names(folder) == ['photos', 'cats']
  assert files(folder) == [path_of(folder, find_model(folder, 'cats')).name]
  put(folder, content=b'another one')
  assert verify_model(folder, 'dogs').size == 11


def test_the_packaged_model_is_always_there_and_stays(tmp_path):
  entry = verify_model(tmp_path, 'photos')
  first = list_models(tmp_path)[0]
  assert (entry.name, entry.backbone, entry.size) == (first.name, first.backbone, first.size)
  assert entry.license == 'apache-2.0' and entry.limits and entry.config['image_size'] == 320
  for change in (remove_model, check_new):
    with pytest.raises(InputError, match='photos: comes with the package'):
      change(tmp_path, 'photos')


@pytest.mark.parametrize(
  'name', ['', 'Dogs', 'a/b', '../dogs', '.dogs', 'dogs.safetensors', 'a b', 'x' * 65, 'dögs']
)
def test_names_that_could_be_paths_are_refused(tmp_path, name):
  with pytest.raises(InputError, match='a name has'):
    check_new(tmp_path, name)


def test_a_name_is_taken_once(tmp_path):
  put(tmp_path)
  for add in (check_new, lambda *to: put(*to, content=b'other')):
    with pytest.raises(InputError, match='dogs: the zoo has a model of this name'):
      add(tmp_path, 'dogs')
  assert path_of(tmp_path, verify_model(tmp_path, 'dogs')).read_bytes() == b'a model'
  assert len(files(tmp_path)) == 1


def test_an_unknown_name_is_told_the_nearest(tmp_path):
  for change in (find_model, remove_model, verify_model):
    with pytest.raises(InputError, match='photo: .*nearest: photos') as error:
      change(tmp_path, 'photo')
  put(tmp_path, 'dogs-2')
  with pytest.raises(InputError, match='nearest: dogs-2') as error:
    find_model(tmp_path, 'dogs')
  assert '\n' not in str(error.value)


def test_a_file_that_changed_or_is_missing(tmp_path):
  entry = put(tmp_path)
  path = path_of(tmp_path, entry)
  path.write_bytes(b'a modem')
  with pytest.raises(InputError, match=f'{path} has changed.*not {entry.checksum}'):
    verify_model(tmp_path, 'dogs')
  path.unlink()
  with pytest.raises(InputError, match=f'{path} is missing'):
    verify_model(tmp_path, 'dogs')
  remove_model(tmp_path, 'dogs')
  put(tmp_path)
  verify_model(tmp_path, 'dogs')


def overwrite(path, *, at):
  with open(path, 'r+b') as file:
    file.seek(at)
    file.write(b'nonsense' * 64)


@pytest.mark.parametrize('at', [0, 100])
def test_a_damaged_database_is_one_line(tmp_path, at):
  entry = put(tmp_path)
  with sqlite3.connect(tmp_path / DATABASE) as database:
    database.execute('PRAGMA wal_checkpoint(TRUNCATE)')
  database.close()
  overwrite(tmp_path / DATABASE, at=at)
  for use in (names, lambda to: find_model(to, 'dogs'), lambda to: put(to, 'cats')):
    with pytest.raises(InputError, match=f'{DATABASE}: the database is damaged') as error:
      use(tmp_path)
    assert '\n' not in str(error.value)
  # The files are whole, and so nothing is lost.
  assert files(tmp_path) == [path_of(tmp_path, entry).name]


def test_a_damaged_entry_is_one_line(tmp_path):
  put(tmp_path)
  for text in ('{"name": "dogs"', '[]', '{"name": 1}', '{"name": "dogs", "more": 1}'):
    with sqlite3.connect(tmp_path / DATABASE) as database:
      database.execute('UPDATE models SET entry = ?', (text,))
    database.close()
    with pytest.raises(InputError, match='entry dogs: '):
      find_model(tmp_path, 'dogs')
  remove_model(tmp_path, 'dogs')
  assert names(tmp_path) == ['photos'] and files(tmp_path) == []


def test_numbers_that_no_database_holds_are_refused():
  for field in ('fold', 'shots', 'image_size', 'size'):
    for number in (-1, 2**63):
      with pytest.raises(InputError, match=f'`{field}` must be'):
        entry_of(b'x', **{field: number})


def test_a_damaged_line_of_the_list_is_one_line(tmp_path):
  put(tmp_path)
  for column in ('backbone', 'fold', 'miou', 'size'):
    with sqlite3.connect(tmp_path / DATABASE) as database:
      database.execute(f'UPDATE models SET {column} = ?', (b'nonsense',))
    database.close()
    with pytest.raises(InputError, match='dogs: its entry in the zoo is damaged'):
      names(tmp_path)


def test_an_empty_database_is_a_zoo_without_models_and_a_newer_one_is_none(tmp_path):
  (tmp_path / DATABASE).touch()
  assert names(tmp_path) == ['photos']
  put(tmp_path)
  with sqlite3.connect(tmp_path / DATABASE) as database:
    database.execute('PRAGMA user_version = 2')
  database.close()
  for use in (names, lambda to: put(to, 'cats')):
    with pytest.raises(InputError, match='format 2 of the zoo is newer'):
      use(tmp_path)


@pytest.mark.skipif(os.name != 'posix' or os.geteuid() == 0, reason='root may write anywhere')
def test_a_zoo_that_may_only_be_read(tmp_path):
  put(tmp_path)
  tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
  try:
    assert names(tmp_path) == ['photos', 'dogs']
    with pytest.raises(InputError, match=str(tmp_path)):
      put(tmp_path, 'cats')
  finally:
    tmp_path.chmod(stat.S_IRWXU)


def test_a_folder_that_cannot_be_one(tmp_path):
  (tmp_path / 'zoo').write_text('a file')
  with pytest.raises(InputError, match=f'{tmp_path / "zoo"}: cannot write there.*`zoo`'):
    put(tmp_path / 'zoo')


# Adds models, in a process of its own, once it is told to begin; prints what became of each.
ADDING = """
import os, pathlib, signal, sys
from hsnet_jax.errors import InputError
from tests.experiments.model_zoo.given import put
folder, content, trouble, *names = sys.argv[1:]
rename, kill = os.replace, lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if trouble == 'before the file has its name':
  os.replace = kill
elif trouble == 'before its entry is written':
  os.replace = lambda *paths: (rename(*paths), kill())
print('ready', flush=True)
sys.stdin.readline()
for name in names:
  try:
    put(pathlib.Path(folder), name, content.encode())
    print('added', name)
  except InputError as error:
    print('refused', error)
"""


def adding(root, folder, content, *to_add, trouble=''):
  command = [sys.executable, '-c', ADDING, str(folder), content, trouble, *to_add]
  pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}
  process = subprocess.Popen(command, cwd=root, text=True, **pipes)
  assert process.stdout.readline() == 'ready\n'
  return process


def test_processes_that_add_at_once_all_succeed(root, tmp_path):
  """Into a zoo that none of them finds there; of the one name that all want, one gets it."""
  several = [[f'{who}-{i}' for i in range(12)] for who in 'abc']
  processes = [adding(root, tmp_path, own[0], *own, 'wanted') for own in several]
  for process in processes:
    process.stdin.write('go\n')
    process.stdin.flush()
  said = [process.communicate(timeout=120)[0].splitlines() for process in processes]
  assert [process.returncode for process in processes] == [0, 0, 0]
  for own, lines in zip(several, said, strict=True):
    assert lines[:-1] == [f'added {name}' for name in own]
  assert sorted(lines[-1].split()[0] for lines in said) == ['added', 'refused', 'refused']
  assert names(tmp_path) == ['photos', *sorted(sum(several, [])), 'wanted']
  for name in names(tmp_path):
    verify_model(tmp_path, name)
  assert len(files(tmp_path)) == 37


@pytest.mark.parametrize('trouble', ['before the file has its name', 'before its entry is written'])
def test_a_killed_process_leaves_no_half_model(root, tmp_path, trouble):
  put(tmp_path, 'cats')
  process = adding(root, tmp_path, 'killed', 'dogs', trouble=trouble)
  process.communicate('go\n', timeout=60)
  assert process.returncode == -signal.SIGKILL
  assert names(tmp_path) == ['photos', 'cats']
  left = [name for name in files(tmp_path) if name.startswith('.')]
  assert len(left) == 1
  # What it left is young enough to be another process's work; later it is removed.
  put(tmp_path, 'dogs', b'killed')
  assert [name for name in files(tmp_path) if name.startswith('.')] == left
  verify_model(tmp_path, 'dogs')
  yesterday = time.time() - 86400
  os.utime(tmp_path / MODELS / left[0], (yesterday, yesterday))
  with staging(tmp_path) as file:
    assert isinstance(file, pathlib.Path)
  assert not [name for name in files(tmp_path) if name.startswith('.')]
