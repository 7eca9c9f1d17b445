"""Tests on another benchmark than was trained on, without the classes that were seen in training.

Classes are told by their names, which differ from benchmark to benchmark: PASCAL's 'tvmonitor' is
COCO's 'tv', and FSS-1000 has a beagle where both have dogs. `KINDS` says what is the same; a kind
of a class counts as the class, both ways: who has seen dogs has seen beagles.
"""

import dataclasses
from collections.abc import Collection, Mapping

from data_pipelines.benchmark import Benchmark, OnTop
from data_pipelines.episodes import DrawEpisodes, Episode
from data_pipelines.splits import Split
from hsnet_jax.errors import InputError

# {class: other names for it, and kinds of it}, in the words of PASCAL, COCO and FSS-1000. Made from
# the names alone: masks of FSS-1000 may show more than its names say.
KINDS: Mapping[str, tuple[str, ...]] = {
  'aeroplane': (
    *('airplane', 'airliner', 'delta wing', 'jet aircraft', 'stealth aircraft'),
    *('tiltrotor', 'warplane'),
  ),
  'backpack': ('pubg lvl3backpack',),
  'bear': ('black bear', 'brown bear', 'giant panda', 'panda', 'polar bear', 'sloth bear'),
  'bed': ('cradle',),
  'bench': ('park bench',),
  'bird': (
    *('african grey', 'albatross', 'andean condor', 'bald eagle', 'bee eater', 'bittern'),
    *('black grouse', 'black stork', 'black swan', 'brambling', 'bulbul bird', 'bushtit'),
    *('bustard', 'chickadee bird'),
    *('chicken', 'condor', 'coucal', 'crane', 'cuckoo', 'curlew', 'dowitcher', 'drake', 'eagle'),
    *('egret', 'fish eagle', 'flamingo', 'golden plover', 'goldfinch', 'goose', 'hawk'),
    *('hornbill', 'housefinch', 'hummingbird', 'jacamar', 'jay bird', 'kinguin', 'lapwing', 'lark'),
    *('little blue heron', 'lorikeet', 'macaw', 'magpie bird', 'oriole', 'osprey', 'ostrich'),
    *('owl', 'partridge', 'peacock', 'peregine falcon', 'pheasant', 'prairie chicken'),
    *('ptarmigan', 'quail', 'raven', 'red breasted merganser', 'redshank', 'ruddy turnstone'),
    *('ruffed grouse', 'seagull', 'skua', 'sparrow', 'spoonbill', 'stonechat', 'stork'),
    *('sulphur crested', 'swan', 'thrush', 'toucan', 'vulture', 'wagtail', 'wandering albatross'),
    *('water ouzel', 'white stork', 'woodpecker'),
  ),
  'boat': (
    *('banana boat', 'canoe', 'lifeboat', 'raft', 'schooner', 'speedboat', 'trimaran'),
    *('wooden boat', 'yawl'),
  ),
  'bottle': ('beer bottle', 'maotai bottle', 'pill bottle', 'wine bottle'),
  'bowl': ('soup bowl',),
  'bus': ('doublebus', 'school bus', 'trolleybus'),
  'cake': ('chiffon cake',),
  'car': (
    *('ambulance', 'convertible', 'f1 racing', 'ferrari911', 'minicooper', 'muscle car'),
    *('police car', 'rally car', 'sports car', 'taxi'),
  ),
  'cat': (
    *('egyptian cat', 'manx', 'ocicat', 'persian cat', 'siamese cat', 'tebby cat', 'tiger cat'),
  ),
  'cell phone': ('iphone',),
  'chair': (
    *('esport chair', 'folding chair', 'ganeva chair', 'rocking chair', 'throne', 'wheelchair'),
  ),
  'clock': ('digital clock', 'wall clock'),
  'cow': ('ox',),
  'cup': ('beer glass', 'coffee mug', 'measuring cup'),
  'dining table': (),
  'dog': (
    *('afghan hound', 'airedale', 'american staffordshire', 'australian terrier', 'basset'),
    *('beagle', 'bedlington terrier', 'blenheim spaniel', 'bloodhound', 'bluetick'),
    *('border terrier', 'boston bull', 'briard', 'chihuahua', 'dandie dinmont', 'dingo'),
    *('english foxhound', 'english setter', 'flat-coated retriever', 'german pointer'),
    *('giant schnauzer', 'golden retriever', 'groenendael', 'lhasa apso', 'saluki', 'shih-tzu'),
    *('staffordshire', 'whippet', 'yorkshire terrier'),
  ),
  'donut': ('doughnut',),
  'elephant': ('african elephant', 'indian elephant'),
  'frisbee': ('flying disc',),
  'knife': ('cleaver', 'kitchen knife'),
  'motorbike': ('motorcycle', 'motor scooter'),
  'mouse': ('computer mouse',),
  'oven': ('stove',),
  'person': ('astronaut', 'baby', 'baseball player', 'diver'),
  'potted plant': ('flowerpot',),
  'remote': ('remote control',),
  'sandwich': ('cheese burger',),
  'sheep': ('bighorn sheep',),
  'sink': ('wash basin',),
  'sofa': ('couch', 'studio couch'),
  'spoon': ('wooden spoon',),
  'sports ball': (
    *('baseball', 'basketball', 'cricketball', 'croquet ball', 'golf ball', 'gym ball'),
    *('pingpong ball', 'rugby ball', 'soccer ball', 'volleyball', 'water polo'),
  ),
  'teddy bear': ('teddy',),
  'tie': ('bolotie', 'bowtie', 'windsor tie'),
  'toilet': ('toilet seat',),
  'toothbrush': ('electronic toothbrush',),
  'train': ('bullet train', 'steam locomotive', 'streetcar'),
  'truck': (
    *('fire engine', 'garbage truck', 'oiltank car', 'pickup', 'recreational vehicle', 'snowplow'),
    *('tow truck', 'trailer truck'),
  ),
  'tvmonitor': ('crt screen', 'monitor', 'television', 'tv'),
  'wine glass': ('goblet',),
}  # fmt: skip


def class_key(name: str) -> str:
  """Returns what two names of one class share: 'tvmonitor' of 'TV', 'dog' of 'golden_retriever'.

  Case, blanks and punctuation do not count, so 'dining table' and 'diningtable' are one.
  """
  plain = _plain(name)
  return _CLASS_OF.get(plain, plain)


def _plain(name: str) -> str:
  return ''.join(letter for letter in name.casefold() if letter.isalnum())


_CLASS_OF = {_plain(kind): _plain(name) for name, kinds in KINDS.items() for kind in kinds}


class Unseen(OnTop):
  """Tests on classes alone that were not seen in training; all else is the other benchmark's.

  Episodes are those of the other benchmark in their order, without those of classes that were seen,
  and so many more as make up the number.

  Args:
    benchmark: what is tested on.
    seen: names of the classes that were trained on; what `class_key` takes for one of them is left
      out.
  """

  def __init__(self, benchmark: Benchmark, seen: Collection[str]):
    """Reads nothing yet."""
    super().__init__(benchmark)
    self._seen = frozenset(map(class_key, seen)) - {''}

  def left_out(self, fold: int, split: str = 'val') -> tuple[str, ...]:
    """Returns the names of the classes of a list that were seen, in its order."""
    classes = self.benchmark.test_classes(fold, split)
    return tuple(self.class_names[c] for c in classes if self._was_seen(c))

  def test_classes(self, fold: int, split: str = 'val') -> tuple[int, ...]:
    """See `Benchmark.test_classes`; raises InputError where all of them were seen."""
    classes = self.benchmark.test_classes(fold, split)
    kept = tuple(c for c in classes if not self._was_seen(c))
    if not kept:
      raise InputError(
        f'{self.name} fold {fold}: every class of it was trained on ('
        f'{", ".join(self.left_out(fold, split))}); give another `fold`, or `protocol`=published'
      )
    return kept

  def split(self, fold: int, name: str) -> Split:
    """See `Benchmark.split`; lists of testing without what was seen."""
    whole = self.benchmark.split(fold, name)
    if name == 'trn':
      return whole
    classes = self.test_classes(fold, name)
    items = tuple(item for item in whole.items if item[1] in classes)
    if not items:
      raise InputError(f'{whole.name}: no picture is left of classes that were not trained on')
    return dataclasses.replace(whole, name=f'{whole.name} (unseen)', items=items)

  def episode_draw(self, items: Split, fold: int, split: str) -> DrawEpisodes:
    """See `Benchmark.episode_draw`; the other's, of which those are passed over that were seen."""
    whole = self.benchmark.split(fold, split)
    draw = self.benchmark.episode_draw(whole, fold, split)

    def unseen_episodes(
      kept: Split, /, *, shots: int, count: int, distinct: bool
    ) -> tuple[Episode, ...]:
      classes, drawn = {*kept.classes()}, count
      while True:
        # Fewer or more of them are a prefix of the same sequence.
        episodes = draw(whole, shots=shots, count=drawn, distinct=distinct)
        found = [one for one in episodes if one.class_id in classes]
        if len(found) >= count:
          return tuple(found[:count])
        drawn *= 2

    return unseen_episodes

  def _was_seen(self, class_id: int) -> bool:
    return class_key(self.class_names[class_id]) in self._seen
