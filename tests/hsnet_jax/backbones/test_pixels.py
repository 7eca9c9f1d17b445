"""Pixel values as backbones see them."""

import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.backbones import normalize


def test_pixels_that_are_scaled_already_are_refused():
  with pytest.raises(TypeError, match='float32; normalize takes the uint8 values'):
    normalize(np.zeros((2, 2, 3), np.float32), 'tiny')


def test_pixels_are_normalized_as_the_backbone_wants():
  images = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32, 3), np.uint8)
  for given in (images, jnp.asarray(images)):
    y = normalize(given, 'mobilenet_v1_075')
    np.testing.assert_allclose(y, images.astype(np.float64) / 127.5 - 1, atol=1e-6)
