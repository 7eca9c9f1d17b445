"""Draws `shapes`, a few-shot segmentation benchmark of objects, embedded in the project.

In the manner of PASCAL-5i: 20 classes in 4 folds of 5, image lists for training and for testing,
labels with a boundary that is left out of the figures. A picture shows one to four objects at
random scale, rotation, color and texture, over and under clutter, partly hidden. Colors and
textures are drawn independently of the class, also for background and clutter: neither color nor
saliency tells an object from its neighbors, only its outline does.

All objects of a picture belong to classes of the same fold. So the classes of the fold under test
are never seen in training, not even as unlabeled background, and a picture never shows a class
that the episodes of its fold do not know.

A picture is a pure function of (seed, image name), the same to the last bit on every machine.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from data_pipelines.benchmark import Benchmark
from data_pipelines.shapes import render
from data_pipelines.shapes.outlines import CLASSES, Maker, uniform
from data_pipelines.splits import Split
from hsnet_jax.errors import InputError

FOLDS = 4


class Shapes(Benchmark):
  """Draws the `shapes` benchmark; see `data_pipelines.benchmark.Benchmark`.

  Attributes:
    name: 'shapes'.
    num_classes: 20.
    num_folds: 4.
    class_names: names in the order of their ids.
  """

  name = 'shapes'

  def __init__(
    self,
    seed: int = 0,
    *,
    size: int = 128,
    train_images: int = 100,
    test_images: int = 50,
    cache_images: int = 2048,
  ):
    """Describes the benchmark; pictures are drawn when they are asked for.

    Args:
      seed: another seed makes other pictures of the same classes.
      size: side of the pictures, pixels.
      train_images: training pictures a class.
      test_images: test pictures a class.
      cache_images: how many pictures are kept in memory (64 KiB each at 128 x 128).
    """
    self.num_folds = FOLDS
    self.class_names = tuple(CLASSES)
    self.num_classes = len(self.class_names)
    self._seed, self._size = seed, size
    self._train_images, self._test_images = train_images, test_images
    self._cache_images = cache_images
    self._cache: OrderedDict[str, tuple[np.ndarray, np.ndarray]] = OrderedDict()
    self._lock = threading.Lock()

  def __getstate__(self) -> dict[str, Any]:
    """Gives a worker process neither the lock nor the pictures kept so far."""
    return {k: v for k, v in vars(self).items() if k not in ('_cache', '_lock')}

  def __setstate__(self, state: dict[str, Any]) -> None:
    """Starts with a lock and a memory of its own."""
    vars(self).update(state, _cache=OrderedDict(), _lock=threading.Lock())

  def split(self, fold: int, name: str) -> Split:
    """Lists the images of a fold.

    Args:
      fold: 0 to 3.
      name: 'trn' (training pictures of the other folds' classes) or 'val' (test pictures of the
        fold's own classes).

    Returns:
      The split; a picture appears once, under the class it is named after. Classes take turns, so
      that the first episodes of a test are spread over all of them.
    """
    self.check_split(fold, name)
    held = self.test_classes(fold)
    if name == 'trn':
      classes = [c for c in range(self.num_classes) if c not in held]
      numbers = range(self._train_images)
    else:
      classes = list(held)
      numbers = range(self._train_images, self._train_images + self._test_images)
    items = tuple((f'{self.class_names[c]}_{n:04d}', c) for n in numbers for c in classes)
    return Split(f'{self.name} fold {fold} {name}', items, self.class_names)

  def load(self, image_name: str) -> tuple[UInt8[np.ndarray, 'h w 3'], UInt8[np.ndarray, 'h w']]:
    """Draws a picture, or takes it from memory.

    Args:
      image_name: a class and four digits, such as 'gear_0012'.

    Returns:
      image uint8 [h, w, 3]; label uint8 [h, w]: 0 background, class_id + 1, 255 boundary. Both
      are read-only.
    """
    with self._lock:
      if image_name in self._cache:
        self._cache.move_to_end(image_name)
        return self._cache[image_name]
    drawn = self._draw(image_name)
    for array in drawn:
      array.setflags(write=False)
    with self._lock:
      self._cache[image_name] = drawn
      while len(self._cache) > self._cache_images:
        self._cache.popitem(last=False)
    return drawn

  def _draw(self, image_name: str) -> tuple[np.ndarray, np.ndarray]:
    class_name, _, number = image_name.rpartition('_')
    if class_name not in CLASSES or not (len(number) == 4 and number.isdecimal()):
      raise InputError(
        f"shapes has no image '{image_name}': a name is a class and four digits, as 'gear_0012'"
      )
    own = self.class_names.index(class_name)
    width = self.num_classes // FOLDS
    fold = own // width
    rivals = [c for c in range(fold * width, (fold + 1) * width) if c != own]
    digest = hashlib.sha256(f'{self._seed}/{image_name}'.encode()).digest()
    rng = np.random.RandomState(np.frombuffer(digest, '<u4').astype(np.uint32))
    cast = [own] + [int(rng.choice(rivals)) for _ in range(int(rng.choice([0, 1, 1, 1, 2, 2])))]
    if rng.randint(6) == 0:
      cast.append(own)
    actors = stage(
      rng,
      [(c + 1, CLASSES[self.class_names[c]]) for c in cast],
      size=self._size,
      first_radius=(0.22, 0.34),
    )
    return render.compose(
      rng,
      actors,
      size=self._size,
      clutter=int(rng.randint(4, 11)),
      occluders=int(rng.randint(0, 3)),
      min_visible=0.75,
    )


def stage(
  rng: np.random.RandomState,
  cast: Sequence[tuple[int, Maker]],
  *,
  size: int,
  first_radius: tuple[float, float] = (0.24, 0.38),
  max_turn: float = 0.08,
) -> list[render.Actor]:
  """Gives every object of a picture an outline, a place and a pose.

  Args:
    rng: random state.
    cast: (label, outline maker) of every object; the first is the largest and lies most freely.
    size: side of the picture, pixels.
    first_radius: least and greatest radius of the first object, in sides of the picture.
    max_turn: objects are rotated by at most this much either way, in turns.

  Returns:
    A list of `render.Actor` in the order of `cast`; of eight random places an object takes
    the one farthest from those before it.
  """
  actors: list[render.Actor] = []
  for label, make in cast:
    first = not actors
    radius = size * (uniform(rng, *first_radius) if first else uniform(rng, 0.16, 0.28))
    margin = 0.8 * radius
    places = margin + rng.random_sample((8, 2)) * (size - 2 * margin)
    if not first:
      taken = np.array([a.center for a in actors])
      radii = np.array([a.radius for a in actors])
      gaps = places[:, None] - taken[None]
      clear = (np.sqrt((gaps * gaps)[..., 0] + (gaps * gaps)[..., 1]) / radii).min(axis=1)
      places = places[np.argmax(clear) :]
    actors.append(
      render.Actor(
        label=label,
        outline=make(rng),
        center=(float(places[0, 0]), float(places[0, 1])),
        radius=radius,
        turn=uniform(rng, -max_turn, max_turn),
        stretch=uniform(rng, 0.88, 1.13),
      )
    )
  return actors
