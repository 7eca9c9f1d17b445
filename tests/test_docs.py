"""What the pages show: code that runs, commands that exist, links that lead somewhere."""

import importlib
import json
import os
import pathlib
import pkgutil
import re
import shlex
import subprocess
import sys

import jax
import pytest

import data_pipelines
import experiments
import hsnet_jax as hs
from docs import draw_rooms
from hsnet_jax.checkpoints import save_checkpoint
from tests.own_pictures import SQUARE, box, save_labelme, save_mask, save_photo, shape

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md')])
# Whose code is run in a copy of the project, by test_extending.py.
APART = ROOT / 'docs' / 'extending.md'
REFERENCE = sorted(ROOT.glob('docs/api/*.md'))

# Parses command lines, given as JSON, with the flags of one command; prints what is wrong.
PARSE = """
import importlib, json, sys
from absl import flags
module = importlib.import_module(sys.argv[1])
for line in json.load(sys.stdin):
  flags.FLAGS.unparse_flags()
  try:
    rest = flags.FLAGS([sys.argv[1], *line])[1:]
    if len(rest) > getattr(module, 'WORDS', 0):
      print(line, 'has more than flags:', rest)
  except flags.Error as error:
    if 'must be specified' not in str(error) and 'must have a value' not in str(error):
      print(line, error)
"""


def blocks(page, language):
  """The code blocks of a page in one language, in order."""
  return re.findall(rf'^```{language}\n(.*?)^```$', page.read_text('utf-8'), re.M | re.S)


def names(page):
  return re.findall(r'^::: ([\w.]+)$', page.read_text('utf-8'), re.MULTILINE)


def ids(page):
  return str(page.relative_to(ROOT))


def public():
  """(package, name) of all that the packages and their rooms say is public."""
  for package in (hs, data_pipelines, experiments):
    for module in [package.__name__, *rooms_of(package)]:
      for name in getattr(importlib.import_module(module), '__all__', ()):
        yield module, name


def rooms_of(package):
  walked = pkgutil.walk_packages(package.__path__, f'{package.__name__}.')
  return [module.name for module in walked if module.ispkg]


def test_every_public_name_is_in_the_reference():
  shown = [name for page in REFERENCE for name in names(page)]
  assert len(shown) == len(set(shown))
  # A room's name may be shown as the package's.
  objects = [pkgutil.resolve_name(name) for name in shown]
  missing = []
  for module, name in public():
    value = getattr(importlib.import_module(module), name)
    if f'{module}.{name}' not in shown and not any(value is one for one in objects):
      missing.append(f'{module}.{name}')
  assert not missing


def test_blocks_of_python_are_fenced_as_such():
  """Under another name none of them would be run."""
  for page in PAGES:
    assert not re.findall(
      r'^```(?:py|python3|pycon|Python)$', page.read_text('utf-8'), re.MULTILINE
    )


@pytest.mark.parametrize('page', REFERENCE, ids=ids)
def test_the_reference_shows_what_exists(page):
  assert names(page)
  for name in names(page):
    pkgutil.resolve_name(name)


@pytest.mark.parametrize('page', PAGES, ids=ids)
def test_links_lead_somewhere(page):
  text = page.read_text('utf-8')
  for link in re.findall(r'\]\(([^)#\s]+)[^)]*\)', text):
    if not re.match(r'\w+:', link):
      assert (page.parent / link).exists(), link
  headings = {
    re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-')
    for heading in re.findall(r'^#+ (.*)$', text, re.MULTILINE)
  }
  for anchor in re.findall(r'\]\(#([^)]+)\)', text):
    assert anchor in headings, anchor


def test_the_picture_of_the_rooms_is_that_of_the_order():
  """If not: python -m docs.draw_rooms."""
  assert draw_rooms.PICTURE.read_text('utf-8') == draw_rooms.draw()


@pytest.mark.parametrize('page', PAGES, ids=ids)
def test_named_files_exist(page):
  """Paths in backticks that begin with one of the project's folders."""
  for name in re.findall(
    r'`((?:hsnet_jax|data_pipelines|experiments|tests|docs)/[\w./{},-]*)`', page.read_text('utf-8')
  ):
    one_of = re.search(r'\{(.*)\}', name)
    choices = one_of.group(1).split(',') if one_of else ['']
    for choice in choices:
      path = re.sub(r'\{.*\}', choice, name)
      assert (ROOT / path).exists(), path


@pytest.mark.parametrize('page', PAGES, ids=ids)
def test_named_modules_and_functions_exist(page):
  """Dotted names in backticks, such as `hsnet_jax.metrics.Tally`."""
  text = re.sub(r'^```.*?^```$', '', page.read_text('utf-8'), flags=re.MULTILINE | re.DOTALL)
  if page.name != 'CHANGELOG.md':  # where names were
    for name in re.findall(r'`((?:hsnet_jax|data_pipelines)(?:\.\w+)+)`', text):
      pkgutil.resolve_name(name)


def command_lines():
  """{command: its flags, line by line} of all shell blocks; one line may go over several."""
  found = {}
  for page in (page for page in PAGES if page != APART):
    for block in blocks(page, 'sh'):
      for line in block.replace('\\\n', ' ').splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r'\w+=\S*', words[0]):
          words.pop(0)
        if words[:2] == ['python', '-m'] and words[2].startswith('experiments.'):
          found.setdefault(words[2], []).append(words[3:])
        elif words[:1] == ['hsnet']:
          found.setdefault(f'experiments.{words[1]}', []).append(words[2:])
  return found


@pytest.mark.parametrize('command', sorted(command_lines()))
def test_commands_in_the_pages_have_these_flags(command):
  lines = [[word for word in line if word != '--help'] for line in command_lines()[command]]
  done = subprocess.run(
    [sys.executable, '-c', PARSE, command],
    input=json.dumps(lines),
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert (done.returncode, done.stdout) == (0, ''), done.stderr


def test_make_targets_in_the_pages_exist():
  makefile = (ROOT / 'Makefile').read_text('utf-8')
  for page in PAGES:
    for targets in re.findall(r'^make ((?:[a-z]+ )*[a-z]+)', page.read_text('utf-8'), re.MULTILINE):
      for target in targets.split():
        assert re.search(rf'^{target}:', makefile, re.MULTILINE), (page, target)


@pytest.fixture(scope='module')
def after_the_demo(tmp_path_factory):
  """A folder as `make demo` leaves it, with a checkpoint to read; and one of pictures."""
  folder = tmp_path_factory.mktemp('demo')
  variables = {
    'params': hs.init_params(jax.random.key(0), hs.HSNet('tiny')),
    'backbone': hs.load_backbone('tiny'),
  }
  path = folder / 'runs' / 'demo' / 'checkpoints' / 'best'
  path.parent.mkdir(parents=True)
  save_checkpoint(path, variables, config={'backbone': 'tiny'})
  save_photo(folder / 'pictures' / 'a.jpg')
  save_labelme(folder / 'pictures', 'a', shape('leaf', SQUARE))
  for name in ('dog1', 'dog2', 'query'):
    save_photo(folder / f'{name}.jpg')
    save_mask(folder / f'{name}.png', box(255))
  return folder


@pytest.mark.heavy  # Trains.
@pytest.mark.parametrize(
  'page', [page for page in PAGES if blocks(page, 'python') and page != APART], ids=ids
)
def test_code_in_the_pages_runs(page, after_the_demo):
  """In a process with the one device that a reader has."""
  code = '\n'.join(blocks(page, 'python'))
  environment = {**os.environ, 'XLA_FLAGS': '', 'PYTHONPATH': str(ROOT)}
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=after_the_demo,
    env=environment,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
