"""What a user gives to predict from: what a support set is."""

import numpy as np
import pytest
from PIL import Image

from experiments.evaluation import inputs
from hsnet_jax.errors import InputError
from tests.experiments.evaluation.given import mask, picture
from tests.facts import warned


def test_paths_may_be_under_the_users_home(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  picture(tmp_path / 'q.jpg')
  mask(tmp_path / 'mask.png')
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
  images, masks, uncut = inputs.read_supports([image], [drawn], size=(45, 60), value=12)
  assert images.shape == (1, 45, 60, 3) and masks.sum() == 30 * 20
  np.testing.assert_array_equal(uncut, masks)


def test_a_support_is_cut_to_its_object(tmp_path):
  image = picture(tmp_path / 'a.jpg', size=(300, 200))
  drawn = mask(tmp_path / 'a.png', size=(300, 200), box=(60, 60, 160, 140))
  whole = inputs.read_supports([image], [drawn], size=(40, 60))
  images, masks, uncut = inputs.read_supports([image], [drawn], size=(40, 60), margin=0.0)
  assert images.shape == whole[0].shape and masks.sum() > 4 * whole[1].sum()
  for masks_of_files in (uncut, whole.uncut):
    assert masks_of_files[0].shape == (200, 300) and masks_of_files[0].sum() == 100 * 80


def test_a_doubtful_mask_is_named_once(tmp_path):
  image = picture(tmp_path / 'a.jpg')
  few = np.eye(45, 60) * (np.arange(60) < 20)
  for values, facts in ((np.full((45, 60), 255), ['no background']), (few, ['20 of 2700'])):
    Image.fromarray(values.astype(np.uint8)).save(tmp_path / 'a.png')
    with warned(tmp_path / 'a.png', *facts):
      inputs.read_supports([image], [tmp_path / 'a.png'], size=(45, 60))
