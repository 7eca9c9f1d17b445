"""The rooms: what lies in them, and who may import whom.

Every import is an arrow from one file to another, wherever it is written: at the top, inside a
function, or for type checkers alone. The arrows are read from the sources, nothing is imported.
"""

import ast
import functools
import pathlib
from typing import NamedTuple

import pytest

from tests.rooms import ORDER

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ('hsnet_jax', 'data_pipelines', 'experiments')
MAX_FILES = 10

RANK = {
  (package, notion): rank
  for package, lines in ORDER.items()
  for rank, line in enumerate(lines)
  for notion in line
}
# Beside the order: what a notion keeps to alone.
ALONE = {('hsnet_jax', 'checkpoints'): {'errors', 'whole_files', 'api'}}
# Where flags may be: in the commands and what they share; and Grain's own, which its workers read.
FLAGS = {('experiments', 'a command'), ('experiments', 'command')}
GRAINS_FLAGS = 'data_pipelines.loading.workers'
# One package for the library, one for what is read, one for what is run; each takes from the left.
BELOW = {package: PACKAGES[:i] for i, package in enumerate(PACKAGES)}


class Arrow(NamedTuple):
  """One import.

  Attributes:
    target: the module that is imported, dotted; a name that a room re-exports counts as its file.
    line: where.
    runs: no, if it is for type checkers alone.
  """

  target: str
  line: int
  runs: bool


def name_of(path: pathlib.Path) -> str:
  """The dotted name of a file; of an `__init__.py`, its room's."""
  parts = path.relative_to(ROOT).with_suffix('').parts
  return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


FILES = {name_of(path): path for p in PACKAGES for path in sorted((ROOT / p).rglob('*.py'))}
ROOMS = sorted(path.parent for path in FILES.values() if path.name == '__init__.py')
FOLDERS = sorted({path.parent for path in FILES.values()})
COMMANDS = {name for name in FILES if name.startswith('experiments.') and name.count('.') == 1} - {
  name_of(room / '__init__.py') for room in ROOMS
}


def is_for_checkers(node: ast.AST) -> bool:
  return isinstance(node, ast.If) and ast.unparse(node.test).endswith('TYPE_CHECKING')


def statements(tree: ast.AST, runs: bool = True):
  """(import statement, whether it runs) of a file, at any depth."""
  for node in ast.iter_child_nodes(tree):
    if isinstance(node, ast.Import | ast.ImportFrom):
      yield node, runs
    elif is_for_checkers(node):
      for kind, part in (('body', False), ('orelse', True)):
        for child in getattr(node, kind):
          yield from statements(ast.Module([child], []), runs and part)
    else:
      yield from statements(node, runs)


@functools.cache
def parse(name: str) -> ast.Module:
  return ast.parse(FILES[name].read_text(encoding='utf-8'))


def resolve(module: str, name: str) -> str:
  """Returns the module that `from module import name` reads, through what rooms re-export."""
  if f'{module}.{name}' in FILES:
    return f'{module}.{name}'
  if module in FILES and FILES[module].name == '__init__.py':
    for node, _ in statements(parse(module)):
      if isinstance(node, ast.ImportFrom):
        for alias in node.names:
          if (alias.asname or alias.name) == name and node.module:
            return resolve(node.module, alias.name)
  return module


@functools.cache
def arrows(name: str) -> tuple[Arrow, ...]:
  """Returns all imports of a file, those of other projects too."""
  found = []
  for node, runs in statements(parse(name)):
    if isinstance(node, ast.Import):
      targets = [alias.name for alias in node.names]
    else:
      targets = [resolve(node.module or '', alias.name) for alias in node.names]
    found += [Arrow(target, node.lineno, runs) for target in targets]
  return tuple(found)


def notion_of(name: str) -> tuple[str, str]:
  """Returns (package, notion) of a module: its flat file or its room; '' is the package itself."""
  package, *rest = name.split('.')
  if name in COMMANDS:
    return package, 'a command'
  return package, rest[0] if rest else ''


def is_wrong(source: str, target: str) -> str:
  """Says what is wrong with an arrow; '' if nothing is."""
  (package, notion), (other, below) = notion_of(source), notion_of(target)
  if other not in PACKAGES:
    allowed = other != 'absl' or (package, notion) in FLAGS or source == GRAINS_FLAGS
    return '' if allowed else 'only commands have flags'
  if package != other:
    return '' if other in BELOW[package] else f'{package} takes nothing from {other}'
  if not notion:
    return ''  # the package's own flat names come from everywhere
  if not below:
    return f'inside {package} names are taken from where they are made'
  if below == 'a command':
    return 'no one imports a command'
  if below == 'command' and notion not in ('command', 'a command'):
    return 'only commands import command/'
  if notion == below:
    return ''
  for which in (notion, below):
    if (package, which) not in RANK:
      return f'{which} has no place in the order of {package}'
  if below not in ALONE.get((package, notion), {below}):
    return f'{notion} takes {" and ".join(sorted(ALONE[package, notion]))} alone'
  if RANK[package, below] >= RANK[package, notion]:
    return f'{below} is not below {notion}'
  return ''


@pytest.mark.parametrize('name', sorted(FILES))
def test_arrows_point_down(name):
  wrong = [
    f'line {arrow.line}: {name} -> {arrow.target}: {reason}'
    for arrow in arrows(name)
    if (reason := is_wrong(name, arrow.target))
  ]
  assert not wrong, '\n'.join(wrong)


def runs_first(name: str) -> set[str]:
  """Returns the files that a file's own imports run: each module, and the rooms it lies in."""
  targets = set()
  for arrow in arrows(name):
    parts = arrow.target.split('.') if arrow.runs else []
    around = {'.'.join(parts[: i + 1]) for i in range(len(parts))}
    # A file is itself inside its rooms: they run before it in any case.
    targets |= {t for t in around if t in FILES and not f'{name}.'.startswith(f'{t}.')}
  return targets


def find_circle(graph: dict[str, set[str]]) -> list[str]:
  """Returns the nodes of one circle in order, or nothing."""
  done: set[str] = set()

  def walk(node, trail):
    if node in trail:
      return [*trail[trail.index(node) :], node]
    if node in done:
      return []
    for following in sorted(graph[node]):
      if circle := walk(following, [*trail, node]):
        return circle
    done.add(node)
    return []

  for node in sorted(graph):
    if circle := walk(node, []):
      return circle
  return []


def test_no_circle_of_files():
  circle = find_circle({name: runs_first(name) for name in FILES})
  assert not circle, ' -> '.join(circle)


def test_a_circle_is_found():
  assert find_circle({'a': {'b'}, 'b': {'c'}, 'c': {'b'}}) == ['b', 'c', 'b']
  assert not find_circle({'a': {'b', 'c'}, 'b': {'c'}, 'c': set()})


@pytest.mark.parametrize(
  'source, target',
  [
    ('hsnet_jax.resize', 'data_pipelines.splits'),
    ('data_pipelines.splits', 'experiments.storage'),
    ('hsnet_jax.resize', 'absl.flags'),
    ('data_pipelines.loading.loader', 'absl.flags'),
    ('experiments.training.loop', 'absl.flags'),
    ('hsnet_jax.correlation', 'hsnet_jax.conv4d'),
    ('hsnet_jax.checkpoints', 'hsnet_jax.resize'),
    ('hsnet_jax.training.steps', 'hsnet_jax'),
    ('data_pipelines.prepared.reader', 'data_pipelines.catalog'),
    ('data_pipelines.published.coco', 'data_pipelines.shapes.render'),
    ('experiments.training.loop', 'experiments.command.flags'),
    ('experiments.training.loop', 'experiments.train'),
    ('experiments.demo', 'experiments.train'),
    ('experiments.nowhere.file', 'experiments.storage.locks'),
  ],
)
def test_a_wrong_arrow_is_found(source, target):
  assert is_wrong(source, target)


@pytest.mark.parametrize(
  'source, target',
  [
    ('hsnet_jax.training.steps', 'hsnet_jax.model'),
    ('hsnet_jax.training.steps', 'hsnet_jax.training.losses'),
    ('experiments.train', 'experiments.command.app'),
    ('experiments.train', 'absl.flags'),
    ('data_pipelines.loading.workers', 'absl.flags'),
    ('experiments.training.loop', 'hsnet_jax'),
    ('hsnet_jax.resize', 'jax.numpy'),
  ],
)
def test_a_right_arrow_passes(source, target):
  assert not is_wrong(source, target)


@pytest.mark.parametrize('room', FOLDERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_are_small_and_say_what_they_are_for(room):
  assert (room / '__init__.py').exists()
  assert ast.get_docstring(ast.parse((room / '__init__.py').read_text(encoding='utf-8')))
  flat = [path.stem for path in room.glob('*.py') if path.name != '__init__.py']
  if room != ROOT / 'experiments':
    assert len(flat) <= MAX_FILES, sorted(flat)


def test_every_notion_has_a_place_in_the_order():
  without = {notion_of(name) for name in FILES} - set(RANK)
  assert {notion for _, notion in without} == {''}


def test_no_room_of_the_commands_bears_the_name_of_one():
  commands = {name.split('.')[1] for name in COMMANDS}
  assert {'train', 'evaluate', 'predict', 'sweep', 'prepare', 'convert'} <= commands
  assert not commands & {room.name for room in ROOMS if ROOT / 'experiments' in room.parents}


def test_the_tests_mirror_the_rooms():
  """A folder of tests bears the name of the room that it tests."""
  folders = {path.parent for path in (ROOT / 'tests').rglob('test_*.py')} - {ROOT / 'tests'}
  own = {'docs'}  # tests of the pages
  strange = [
    f for f in folders if f.name not in own and ROOT / f.relative_to(ROOT / 'tests') not in ROOMS
  ]
  assert not strange
