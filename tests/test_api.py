"""The conventions that every file keeps to."""

import ast
import functools
import importlib
import inspect
import pathlib
import pkgutil
import re

import pytest

import data_pipelines
import experiments
import hsnet_jax

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ('hsnet_jax', 'data_pipelines', 'experiments', 'tests')
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob('*.py'))
PACKAGES = {package.__name__: package for package in (hsnet_jax, data_pipelines, experiments)}
MAX_FILE, MAX_FUNCTION = 350, 60

# The design gives these operands, which are arrays and no options, a default.
OPERANDS = {'bias', 'ignore', 'valid', 'backbone', 'classes'}


# Modules of 0.1.0 that have moved: a file each in `hsnet_jax/moved/`.
MOVED = sorted(p.stem for p in (ROOT / 'hsnet_jax' / 'moved').glob('*.py') if p.stem != '__init__')


def modules(package):
  """All modules of a package, itself included; those that have moved not under their old names."""
  walked = pkgutil.walk_packages(package.__path__, package.__name__ + '.')
  names = [m.name for m in walked if m.name.split('.')[-1] not in MOVED or m.name.count('.') > 1]
  names = [name for name in names if '.moved.' not in name]
  return [package, *map(importlib.import_module, names)]


def public_functions(package):
  """(qualified name, function) of all public functions and methods that a package defines."""
  for module in modules(package):
    for name, value in vars(module).items():
      if name.startswith('_') or getattr(value, '__module__', None) != module.__name__:
        continue
      if inspect.isfunction(value):
        yield f'{module.__name__}.{name}', value
      elif inspect.isclass(value):
        for method, function in vars(value).items():
          function = getattr(function, '__func__', function)  # what a class method wraps
          if not method.startswith('_') and inspect.isfunction(function):
            yield f'{module.__name__}.{name}.{method}', function


LIBRARY = dict(public_functions(hsnet_jax))


@pytest.mark.parametrize('name', hsnet_jax.__all__)
def test_flat_names_are_documented(name):
  assert inspect.getdoc(getattr(hsnet_jax, name)), f'hsnet_jax.{name} has no docstring'


@pytest.mark.parametrize('package', [hsnet_jax, data_pipelines])
def test_modules_and_functions_are_documented(package):
  missing = [m.__name__ for m in modules(package) if not m.__doc__]
  # A method documented where it is first declared needs no second docstring.
  missing += [name for name, f in public_functions(package) if not inspect.getdoc(f)]
  assert not missing


def test_arguments_are_documented():
  """In the flat API; of a function with one argument, the first line may say all."""
  functions = {name: getattr(hsnet_jax, name) for name in hsnet_jax.__all__}
  functions = {name: f for name, f in functions.items() if inspect.isfunction(f)}
  several = {n: f for n, f in functions.items() if len(inspect.signature(f).parameters) > 1}
  assert 'center_pivot_conv4d' in several
  missing = [name for name, f in several.items() if 'Args:' not in inspect.getdoc(f)]
  assert not missing


EXPERIMENTS = sorted((ROOT / 'experiments').rglob('*.py'))


@pytest.mark.parametrize('path', EXPERIMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_experiments_are_documented(path):
  # Read, not imported: commands have flags of the same names.
  tree = ast.parse(path.read_text(encoding='utf-8'))
  assert ast.get_docstring(tree)
  for node in tree.body:
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith('_'):
      assert ast.get_docstring(node), node.name


def test_options_are_keyword_only():
  wrong = []
  for name, function in LIBRARY.items():
    for p in inspect.signature(function).parameters.values():
      option = p.default is not p.empty and p.name not in OPERANDS
      if option and p.kind is p.POSITIONAL_OR_KEYWORD:
        wrong.append(f'{name}: {p.name}')
  assert not wrong


def test_key_comes_first():
  for name, function in LIBRARY.items():
    names = [p for p in inspect.signature(function).parameters if p not in ('self', 'cls')]
    assert 'key' not in names or names[0] == 'key', name


def test_files_and_functions_are_short():
  long = []
  for path in SOURCES:
    text = path.read_text(encoding='utf-8')
    if text.count('\n') > MAX_FILE:
      long.append(str(path))
    for node in ast.walk(ast.parse(text)):
      if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        if node.end_lineno - node.lineno + 1 > MAX_FUNCTION:
          long.append(f'{path}: {node.name}')
  assert not long


def test_no_file_names_a_folder_that_only_its_author_has():
  """Examples and defaults must work in any checkout: paths are relative to it, or flags."""
  # Spelled in parts, so that this file does not hold them.
  private = ('home', 'Users', 'root', 'tmp', 'mnt', 'scratch', 'work')
  places = ['/' + name + '/' for name in private]
  documents = [ROOT / n for n in ('Makefile', 'pyproject.toml', 'README.md', 'requirements.txt')]
  for path in [*SOURCES, *documents]:
    text = path.read_text(encoding='utf-8')
    assert not [p for p in places if p in text], path


def test_rooms_import_downwards_only():
  above = {
    'hsnet_jax': {'data_pipelines', 'experiments', 'tests'},
    'data_pipelines': {'experiments', 'tests'},
    'experiments': {'tests'},
  }
  for path in SOURCES:
    folder = path.relative_to(ROOT).parts[0]
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
      names = [node.module or ''] if isinstance(node, ast.ImportFrom) else []
      names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
      wrong = {name.split('.')[0] for name in names} & above.get(folder, set())
      assert not wrong, f'{path} imports {wrong}'


@functools.cache
def words_of_tests():
  """Every name that a test imports from the packages, or reads as an attribute of one of them."""
  words = set()
  for path in (ROOT / 'tests').rglob('test_*.py'):
    if path == pathlib.Path(__file__):
      continue
    nodes = list(ast.walk(ast.parse(path.read_text(encoding='utf-8'))))
    ours = set()  # what the file calls the packages' modules and what is in them
    for node in nodes:
      if isinstance(node, ast.ImportFrom) and (node.module or '').split('.')[0] in PACKAGES:
        words |= {alias.name for alias in node.names}
        ours |= {alias.asname or alias.name for alias in node.names}
      elif isinstance(node, ast.Import):
        found = [alias for alias in node.names if alias.name.split('.')[0] in PACKAGES]
        ours |= {alias.asname or alias.name.split('.')[0] for alias in found}
    for node in nodes:
      if isinstance(node, ast.Attribute):
        root = node.value
        while isinstance(root, ast.Attribute):
          root = root.value
        if isinstance(root, ast.Name) and root.id in ours:
          words.add(node.attr)
  return words


def rooms_with_names():
  """Every package and room that lists its public names; commands are no rooms."""
  found = list(PACKAGES.values())
  for package in PACKAGES.values():
    rooms = [room.name for room in pkgutil.iter_modules(package.__path__) if room.ispkg]
    found += [importlib.import_module(f'{package.__name__}.{name}') for name in rooms]
  return [room for room in found if hasattr(room, '__all__')]


@pytest.mark.parametrize('room', rooms_with_names(), ids=lambda room: room.__name__)
def test_every_public_name_has_a_test_that_names_it(room):
  assert not {*room.__all__} - words_of_tests()


# A verb in the third person, or 'See'.
VERB = re.compile(r'(?!(?:This|Its)\b)[A-Z][a-z]*s\b|See ')


def test_docstrings_begin_with_a_verb():
  """Of functions, methods, classes and modules, public and private."""
  wrong = []
  for path in SOURCES:
    if path.relative_to(ROOT).parts[0] not in PACKAGES or path.name == 'builders.py':
      continue  # A builder's docstring is the description that its sets record.
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
      if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text and not VERB.match(text):
          wrong.append(f'{path.relative_to(ROOT)}: {text[:60]}')
  assert not wrong


def test_no_test_reaches_into_a_private_name():
  """Of a module of this project: `module._name`, or `from module import _name`."""
  found = []
  for path in (ROOT / 'tests').rglob('*.py'):
    tree = ast.parse(path.read_text(encoding='utf-8'))
    ours = {}
    for node in ast.walk(tree):
      if isinstance(node, ast.ImportFrom) and (node.module or '').split('.')[0] in FOLDERS:
        ours |= {alias.asname or alias.name: node for alias in node.names}
        found += [f'{path}: {a.name}' for a in node.names if a.name.startswith('_')]
    for node in ast.walk(tree):
      if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        private = node.attr.startswith('_') and not node.attr.startswith(('__', '_replace'))
        if private and node.value.id in ours:
          found.append(f'{path}:{node.lineno}: {node.value.id}.{node.attr}')
  assert not found
