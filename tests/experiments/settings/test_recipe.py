"""Recipes: which benchmark has which defaults."""

import dataclasses
from importlib import resources

import pytest

from experiments.settings.recipe import NAMED, Recipe, recipe_of
from experiments.training.config import RunConfig


def test_a_benchmark_without_a_recipe_has_the_published_one():
  published = Recipe('resnet50', 400, 20, 2000, 'constant')
  assert recipe_of('pascal') == recipe_of('fss') == recipe_of('folder') == published
  assert recipe_of('published') == published
  assert recipe_of('coco') == Recipe('resnet50', 400, 40, 2000, 'constant')


def test_the_embedded_benchmark_has_its_own():
  assert recipe_of('shapes') == Recipe('tiny', 128, 10, 9, 'cosine', val_episodes=250)


@pytest.mark.parametrize('name', NAMED)
def test_one_that_is_named_has_a_file(name):
  assert (resources.files('experiments.settings') / 'recipes' / f'{name}.toml').is_file()


def test_photographs_have_one():
  photos = recipe_of('photos')
  assert (photos.backbone, photos.image_size, photos.ema) == ('efficientnet_lite0', 320, 0.99)
  assert photos.prior and photos.skip and photos.correlated_levels == 2


def test_what_it_has_beside_lengths_is_recorded():
  """So a run that is resumed has the recipe that it began with."""
  recorded = {field.name for field in dataclasses.fields(RunConfig)}
  assert {field.name for field in dataclasses.fields(Recipe)} - {'epochs'} <= recorded
