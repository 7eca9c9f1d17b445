"""Which form is taken for which shape and platform."""

import numpy as np
import pytest

from hsnet_jax.kernels.forms import FORMS, Shape, choose

SHAPE = {'kernel': (3, 3), 'channels': 4, 'out': 16, 'stride': 1, 'size': (7, 7), 'platform': 'cpu'}


def first(name, **changes):
  shape = Shape(**{**SHAPE, **changes})
  return next(form for form, suits in FORMS[name].items() if suits(shape))


@pytest.mark.parametrize(
  ('kernel', 'changes', 'form'),
  [
    ('conv2d', {}, 'product_gradient'),
    ('conv2d', {'platform': 'gpu'}, 'plain'),
    ('conv2d', {'stride': 2}, 'product_gradient'),
    ('conv2d', {'out': 7}, 'plain'),
    ('conv2d', {'kernel': (1, 1), 'platform': 'gpu'}, 'pointwise'),
    ('depthwise_conv2d', {}, 'taps'),
    ('depthwise_conv2d', {'platform': 'tpu'}, 'plain'),
    ('support_side', {'size': (3, 6)}, 'dense'),
    ('support_side', {'size': (4, 5)}, 'convolution'),
    ('support_side', {'platform': 'gpu'}, 'dense'),
    ('support_side', {'platform': 'gpu', 'size': (9, 9)}, 'convolution'),
    ('support_side', {'platform': 'gpu', 'size': (8, 9)}, 'dense'),
    (
      'support_side',
      {'platform': 'gpu', 'kernel': (5, 5), 'size': (14, 14), 'channels': 128, 'out': 128},
      'convolution',
    ),
  ],
)
def test_the_table(kernel, changes, form):
  assert first(kernel, **changes) == form


@pytest.mark.parametrize('kernel', FORMS)
def test_what_is_portable_is_the_same_everywhere(kernel, monkeypatch):
  """And needs neither loops nor a batch of a known size."""
  x, weights, found = np.zeros((1, 40, 40, 4)), np.zeros((3, 3, 4, 16)), set()
  for platform in ('cpu', 'gpu', 'tpu'):
    monkeypatch.setattr('jax.default_backend', lambda platform=platform: platform)
    found.add(choose(kernel, 'portable', weights=weights, x=x))
  assert len(found) == 1 and not found & {'packed', 'product_gradient'}


@pytest.mark.parametrize('kernel', FORMS)
def test_a_form_may_be_asked_for_by_its_name(kernel):
  x, weights = np.zeros((1, 7, 7, 4)), np.zeros((3, 3, 4, 16))
  assert 'plain' in FORMS[kernel]
  for form in FORMS[kernel]:
    assert choose(kernel, form, weights=weights, x=x) == form
  with pytest.raises(ValueError, match=f'{kernel}.*none_such.*plain'):
    choose(kernel, 'none_such', weights=weights, x=x)
