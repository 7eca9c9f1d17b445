"""What a user gives to predict from: which files are queries, and what a support set is."""

import pytest

from experiments.evaluation import inputs
from hsnet_jax.errors import InputError
from tests.experiments.evaluation.given import mask, picture


def test_queries_that_are_not_there_are_named(tmp_path):
  with pytest.raises(InputError, match='`query`'):
    inputs.find_queries([])
  with pytest.raises(InputError, match='no image .*`query`'):
    inputs.find_queries([str(tmp_path)])
  with pytest.raises(InputError, match=r'q.jpg .*q.png .* q_mask.png'):
    inputs.find_queries(['q.jpg', str(tmp_path / 'q.png')])


def test_results_do_not_become_queries(tmp_path, monkeypatch):
  query = picture(tmp_path / 'q.jpg')
  monkeypatch.chdir(tmp_path)
  for folder in (tmp_path, '.', '~'):
    monkeypatch.setenv('HOME', str(tmp_path))
    with pytest.raises(InputError, match='`query` .*`output_dir`'):
      inputs.find_queries([str(tmp_path)], output_dir=folder)
  assert inputs.find_queries([str(tmp_path)], output_dir='masks') == [query]
  assert inputs.find_queries([str(query)], output_dir='.') == [query]
  drawn = mask(tmp_path / 'q_mask.png')
  for given in ({'names': [str(query), str(drawn)]}, {'names': ['q.jpg'], 'supports': [drawn]}):
    with pytest.raises(InputError, match='q_mask.png: .*`output_dir`'):
      inputs.find_queries(**given, output_dir='.')


def test_paths_may_be_under_the_users_home(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  query = picture(tmp_path / 'q.jpg')
  mask(tmp_path / 'mask.png')
  assert inputs.find_queries(['~', '~nobody.jpg'])[:2] == [tmp_path / 'mask.png', query]
  masks = inputs.read_supports(['~/q.jpg'], ['~/mask.png'], size=(45, 60))[1]
  assert masks.sum() == 30 * 20


def test_supports_and_masks_must_belong_together(tmp_path):
  image, drawn = picture(tmp_path / 'a.jpg'), mask(tmp_path / 'a.png')
  small, missing = mask(tmp_path / 'small.png', size=(59, 45)), tmp_path / 'no.png'
  speck = mask(tmp_path / 'speck.png', box=(1, 1, 2, 2))
  for images, masks, value, words in (
    ([], [], None, '`support_images`'),
    ([image, image], [drawn], None, '2 `support_images` but 1 `support_masks`'),
    ([image], [small], None, 'small.png: .*59 x 45'),
    ([image], [missing], None, 'no.png: '),
    ([image], [drawn], 7, r'a.png: .*value 7 .*: 0, 255\)'),
    ([image], [speck], None, 'speck.png: .*16 x 16'),
  ):
    with pytest.raises(InputError, match=words):
      inputs.read_supports(images, masks, size=(16, 16), value=value)


def test_one_value_of_a_mask_can_be_the_object(tmp_path):
  image, drawn = picture(tmp_path / 'a.jpg'), mask(tmp_path / 'a.png', value=12)
  images, masks = inputs.read_supports([image], [drawn], size=(45, 60), value=12)
  assert images.shape == (1, 45, 60, 3) and masks.sum() == 30 * 20
