"""What is served: by the flags' supports, or by a file."""

import socket

import numpy as np
import pytest

import hsnet_jax as hs
from experiments.serving import ServeConfig, listening, serve
from experiments.serving.starting import make_segmenter
from hsnet_jax import InputError
from tests.own_pictures import SQUARE, box, save_labelme, save_mask, save_photo, shape


def test_supports_are_those_that_a_segmenter_makes(tmp_path):
  images, masks = tmp_path / 'a.jpg', tmp_path / 'a.png'
  save_photo(images)
  save_mask(masks, box(255))
  config = ServeConfig(support_images=(str(images),), support_masks=(str(masks),))
  made, expected = make_segmenter(config), hs.Segmenter.from_pretrained('photos')
  expected = expected.fit([images], [masks])
  for one, other in zip(made.fitted.supports, expected.fitted.supports, strict=True):
    np.testing.assert_array_equal(one, other)
  assert made.support_margin == expected.support_margin  # For those of requests.
  expected.save(tmp_path / 'saved.safetensors')
  saved = make_segmenter(ServeConfig(segmenter=str(tmp_path / 'saved.safetensors')))
  np.testing.assert_array_equal(saved.fitted.supports.masks, made.fitted.supports.masks)


def test_outlines_have_their_class(tmp_path):
  save_photo(tmp_path / 'a.jpg')
  save_labelme(tmp_path, 'a', shape('leaf', SQUARE))
  given = str(tmp_path / 'a.jpg'), str(tmp_path / 'a.json')
  config = ServeConfig(support_images=given[:1], support_masks=given[1:], support_class='leaf')
  assert make_segmenter(config).classes == ('leaf',)


def test_what_is_not_there_is_said_before_anything_listens():
  with pytest.raises(InputError, match='nowhere'):
    serve(ServeConfig(segmenter='nowhere.safetensors'))


def test_without_supports_it_is_fitted_to_nothing():
  assert make_segmenter(ServeConfig()).fitted is None


def test_a_port_that_is_taken_gives_the_next():
  with listening.bind('127.0.0.1', 0) as first:
    port = first.getsockname()[1]
    socket.create_connection(('127.0.0.1', port), timeout=20).close()  # It listens already.
    with listening.bind('127.0.0.1', port) as second:
      assert second.getsockname()[1] != port
  with pytest.raises(InputError, match='`host`'):
    listening.bind('192.0.2.1', 8700)


def test_addresses_as_a_browser_takes_them():
  assert listening.address_of('127.0.0.1', 8700) == 'http://127.0.0.1:8700'
  assert listening.address_of('0.0.0.0', 1) == 'http://127.0.0.1:1'
  assert listening.address_of('::1', 1) == 'http://[::1]:1'
  assert listening.is_everywhere('0.0.0.0') and not listening.is_everywhere('127.0.0.1')
