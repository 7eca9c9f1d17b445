"""Recipes: which benchmark has which defaults."""

from experiments.settings.recipe import Recipe, recipe_of


def test_a_benchmark_without_a_recipe_has_the_published_one():
  published = Recipe('resnet50', 400, 20, 2000, 'constant')
  assert recipe_of('pascal') == recipe_of('fss') == recipe_of('folder') == published
  assert recipe_of('coco') == Recipe('resnet50', 400, 40, 2000, 'constant')


def test_the_embedded_benchmark_has_its_own():
  assert recipe_of('shapes') == Recipe('tiny', 128, 10, 9, 'cosine', val_episodes=250)
