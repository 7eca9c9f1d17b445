"""What the page is told: a token that can stand in an address."""

import pytest

from experiments.labelling.config import LabelConfig
from hsnet_jax.errors import InputError


@pytest.mark.parametrize('token', ['', 'a b', 'a;b', 'é', 'a\nb', '"'])
def test_tokens_are_plain(token):
  with pytest.raises(InputError, match='token'):
    LabelConfig(token=token)
  assert LabelConfig(token='a-B_9').token == 'a-B_9'


def test_bounds():
  for wrong in ({'port': -1}, {'port': 65536}, {'supports': 0}):
    with pytest.raises(InputError):
      LabelConfig(**wrong)
