"""Which benchmark, fold, size and backbone settings stand for."""

import jax
import pytest

from experiments.settings.episodes import PRECISIONS, EpisodeSettings
from experiments.settings.sources import batch_size, image_size, open_backbone, open_benchmark
from hsnet_jax import models
from hsnet_jax.errors import InputError


def test_without_anything_said_it_is_the_embedded_benchmark():
  benchmark, fold = open_benchmark(EpisodeSettings())
  assert (benchmark.name, fold) == ('shapes', 0)
  assert (
    image_size(EpisodeSettings(), 'shapes') == 128 and batch_size(EpisodeSettings(), 'coco') == 40
  )


def test_a_checkpoint_says_what_the_settings_do_not():
  recorded = {'benchmark': 'shapes', 'fold': 2, 'image_size': 96}
  assert open_benchmark(EpisodeSettings(), recorded)[1] == 2
  assert open_benchmark(EpisodeSettings(fold=1), recorded)[1] == 1
  assert image_size(EpisodeSettings(), 'shapes', recorded) == 96
  assert image_size(EpisodeSettings(image_size=64), 'shapes', recorded) == 64


@pytest.mark.parametrize('recorded', [{'step': 3}, {'benchmark': 'shapes'}, {'fold': 1}])
def test_a_checkpoint_that_does_not_say_is_asked_for(recorded):
  with pytest.raises(InputError, match='`benchmark` and `fold`'):
    open_benchmark(EpisodeSettings(), recorded)


def test_another_benchmark_has_its_own_folds():
  assert (
    open_benchmark(EpisodeSettings(benchmark='shapes'), {'benchmark': 'coco', 'fold': 3})[1] == 0
  )


def test_the_backbone_is_that_of_the_recipe_and_its_weights_the_project_s():
  name, weights = open_backbone(EpisodeSettings(), 'shapes')
  assert name == 'tiny' and jax.tree.leaves(weights)


def test_random_weights_are_no_file_s():
  with pytest.raises(InputError, match='`random_backbone` and `backbone_weights`'):
    EpisodeSettings(random_backbone=True, backbone_weights='a.npz')


def test_precisions_are_those_of_the_library():
  assert set(PRECISIONS) == set(models.PRECISIONS)
