"""Names of stored models: where the zoo is, which text is a name, and what a name leads to."""

import pathlib

import jax
import numpy as np
import pytest

import hsnet_jax as hs
from hsnet_jax.checkpoints import save_checkpoint
from hsnet_jax.weights import write_model
from hsnet_jax.weights.zoo import (
  MODELS,
  find_stored,
  is_name,
  is_of_zoo,
  packaged_path,
  zoo_folder,
)
from tests.experiments.model_zoo.given import put
from tests.made import variables


@pytest.mark.parametrize(
  'environment, platform, folder',
  [
    ({'HSNET_ZOO': 'shared', 'HOME': '/h'}, 'linux', 'shared'),
    ({'HOME': '/h'}, 'linux', '/h/.local/share/hsnet_jax/zoo'),
    ({'HOME': '/h', 'XDG_DATA_HOME': '/d'}, 'linux', '/d/hsnet_jax/zoo'),
    ({'HOME': '/h', 'XDG_DATA_HOME': 'd'}, 'linux', '/h/.local/share/hsnet_jax/zoo'),
    (
      {'HOME': '/h', 'XDG_DATA_HOME': '/d'},
      'darwin',
      '/h/Library/Application Support/hsnet_jax/zoo',
    ),
    ({'USERPROFILE': '/u', 'LOCALAPPDATA': '/l'}, 'win32', '/l/hsnet_jax/zoo'),
    ({'USERPROFILE': '/u'}, 'win32', '/u/AppData/Local/hsnet_jax/zoo'),
  ],
)
def test_where_the_zoo_is(environment, platform, folder):
  assert zoo_folder(environment=environment, platform=platform) == pathlib.Path(folder)


def test_what_has_a_slash_is_no_name():
  assert all(map(is_name, ('dogs', 'dogs-2', 'v1.0', '2', 'a_b')))
  assert not any(map(is_name, ('a/b', './dogs', '/dogs', 'a\\b', '..', '.', '', 'x.safetensors')))


def test_without_a_zoo_nothing_is_found(tmp_path):
  assert find_stored('dogs', folder=tmp_path / 'none') is None
  (tmp_path / 'zoo.sqlite').touch()
  assert find_stored('dogs', folder=tmp_path) is None


def test_a_stored_file_is_found_as_it_was_added(tmp_path):
  put(tmp_path, content=b'a model')
  path = find_stored('dogs', folder=tmp_path)
  assert path.read_bytes() == b'a model'
  assert is_of_zoo(path, folder=tmp_path) and not is_of_zoo(packaged_path('photos'))
  path.write_bytes(b'another')
  with pytest.raises(hs.InputError, match='dogs: .*has changed.*SHA-256'):
    find_stored('dogs', folder=tmp_path)
  path.unlink()
  with pytest.raises(hs.InputError, match='dogs: .*is missing'):
    find_stored('dogs', folder=tmp_path)
  with pytest.raises(hs.InputError, match='dog: there is no such.*nearest: dogs'):
    find_stored('dog', folder=tmp_path)


@pytest.fixture
def zoo(tmp_path, monkeypatch):
  """A zoo with one model, 'dogs', seen from an empty folder."""
  write_model(tmp_path / 'a.safetensors', variables('tiny'), config={'backbone': 'tiny'})
  folder = tmp_path / 'zoo'
  put(folder, content=(tmp_path / 'a.safetensors').read_bytes())
  monkeypatch.setenv('HSNET_ZOO', str(folder))
  (tmp_path / 'here').mkdir()
  monkeypatch.chdir(tmp_path / 'here')
  return folder


def test_a_name_is_a_model_where_no_path_has_it(zoo):
  loaded = hs.load_model('dogs')
  assert loaded.path.parent == zoo / MODELS and loaded.backbone.name == 'tiny'
  for x, y in zip(*map(jax.tree.leaves, (loaded.variables, variables('tiny'))), strict=True):
    np.testing.assert_array_equal(x, y)
  assert hs.Segmenter.from_pretrained('dogs').model.path == loaded.path
  with pytest.raises(hs.InputError, match='tiny, not resnet50'):
    hs.load_model('dogs', backbone='resnet50')
  for path in ('./dogs', pathlib.Path('dogs'), 'zoo/dogs'):
    with pytest.raises(hs.InputError, match='dogs: there is no such checkpoint$'):
      hs.load_model(path)
  with pytest.raises(hs.InputError, match='dosg: there is no such checkpoint.*nearest: dogs'):
    hs.load_model('dosg')


def test_a_folder_is_not_hidden_by_a_name(zoo):
  pathlib.Path('dogs').mkdir()
  with pytest.raises(hs.InputError, match='dogs: this is no checkpoint'):
    hs.load_model('dogs')
  pathlib.Path('dogs').rmdir()
  save_checkpoint('dogs', variables('tiny'), config={'backbone': 'tiny', 'fold': 3})
  assert hs.load_model('dogs').config['fold'] == 3
  # A crash in the middle of a save leaves it beside its place.
  pathlib.Path('dogs').rename('.dogs.new')
  assert hs.load_model('dogs').config['fold'] == 3
