"""Training episodes whose query lacks the class."""

import pytest

from data_pipelines.loading.loader import train_batches
from hsnet_jax.errors import InputError
from tests.data_pipelines.loading.test_loader import OPTIONS, names


def test_absent_episodes_have_supports_of_another_class(toy):
  items = toy.split(0, 'trn').items
  for batch in train_batches(toy, epochs=1, absent=1.0, **OPTIONS):
    for query, index, class_id, support in zip(
      names(batch)[0], batch['index'], batch['class_id'], names(batch)[1], strict=False
    ):
      assert items[index][0] == str(query) and items[index][1] != class_id
      assert {*support // 10} == {class_id}
  for absent in (-0.1, 1.1):
    with pytest.raises(InputError, match='`absent`'):
      train_batches(toy, absent=absent, **OPTIONS)
