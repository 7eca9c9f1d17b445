"""What docs/extending.md shows is done to a copy of the project, word for word, and works there."""

import os
import re
import shutil
import subprocess
import sys

import pytest

FILE = re.compile(r'# ((?:hsnet_jax|data_pipelines|experiments)/[\w/]+\.py)\n')
KINDS = ('A backbone', 'A benchmark', 'A method', 'A metric', 'A command')


def sections(page):
  """{heading: [(language, code)]} of a page, in order."""
  found = {}
  for part in re.split(r'^## ', page.read_text('utf-8'), flags=re.MULTILINE)[1:]:
    heading, body = part.split('\n', 1)
    found[heading] = re.findall(r'^```(\w+)\n(.*?)^```$', body, re.MULTILINE | re.DOTALL)
  return found


def add_lines(root, block):
  """Does what a diff says: '# path', then lines to find (' ') and lines to add ('+')."""
  path = root / FILE.match(block).group(1)
  lines = block.splitlines(keepends=True)[1:]
  before = ''.join(line[1:] for line in lines if line[0] == ' ')
  after = ''.join(line[1:] for line in lines)
  text = path.read_text('utf-8')
  assert text.count(before) == 1, f'{path.name} has not once:\n{before}'
  path.write_text(text.replace(before, after), 'utf-8')


@pytest.fixture(scope='module')
def extended(root, tmp_path_factory):
  """A copy of the packages with all that the page adds, and {heading: code that tries it}."""
  copy = tmp_path_factory.mktemp('extended')
  for package in ('hsnet_jax', 'data_pipelines', 'experiments'):
    shutil.copytree(root / package, copy / package, ignore=shutil.ignore_patterns('__pycache__'))
  tries = {}
  for heading, blocks in sections(root / 'docs' / 'extending.md').items():
    files = [code for language, code in blocks if language == 'python' and FILE.match(code)]
    rows = [code for language, code in blocks if language == 'diff']
    tables = {FILE.match(row).group(1) for row in rows}
    assert len(files) == 1 and len(tables) <= 1, f'{heading}: one file and one row'
    path = copy / FILE.match(files[0]).group(1)
    assert not path.exists() and path.parent.is_dir()
    path.write_text(files[0].split('\n', 1)[1], 'utf-8')
    for row in rows:
      add_lines(copy, row)
    tries[heading] = [block for block in blocks if block[1] not in (*files, *rows)]
  return copy, tries


@pytest.mark.heavy  # Trains.
@pytest.mark.parametrize('kind', KINDS)
def test_what_is_added_works(extended, kind):
  copy, tries = extended
  assert set(tries) == set(KINDS) and tries[kind]
  # As a user has it, with one device, not the tests' eight.
  environment = os.environ | {'PYTHONPATH': str(copy), 'XLA_FLAGS': ''}
  environment['PATH'] = os.pathsep.join([os.path.dirname(sys.executable), os.environ['PATH']])
  for language, code in tries[kind]:
    command = {'python': [sys.executable, '-c'], 'sh': ['sh', '-euc']}[language]
    done = subprocess.run(
      [*command, code], cwd=copy, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.heavy  # In a copy of all tests.
def test_what_is_added_keeps_the_rules(extended, root):
  """The files of the page are in order themselves: style, and who may import whom."""
  copy, _ = extended
  shutil.copytree(root / 'tests', copy / 'tests', ignore=shutil.ignore_patterns('golden'))
  shutil.copy(root / 'pyproject.toml', copy)
  rules = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests/test_rooms.py']
  rules += ['-k', 'arrows or circle or small']
  for command in (rules, [sys.executable, '-m', 'ruff', 'check', '--no-cache', '.']):
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
