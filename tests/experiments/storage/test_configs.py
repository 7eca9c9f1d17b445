"""Configurations as JSON and back."""

import dataclasses
import json

import pytest

from experiments.evaluation.config import EvaluateConfig, PrecisionConfig, PredictConfig
from experiments.settings.episodes import EpisodeSettings
from experiments.storage.configs import from_json, to_json
from experiments.sweeps.config import SweepConfig
from experiments.tiny_backbone.config import TinyConfig
from experiments.training.config import RunConfig, TrainConfig
from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Some:
  needed: str
  rate: float = 0.5
  several: tuple[int, ...] = ()
  lists: dict[str, str] | None = None


@pytest.mark.parametrize(
  'config',
  [
    EpisodeSettings(),
    EpisodeSettings(fold=3, precision='bfloat16'),
    TrainConfig(),
    TrainConfig(fold=2, ema=0.99, max_minutes=1, mask_support=False, resume=True, run_dir='a'),
    RunConfig(),
    RunConfig(lists={'trn': 'a', 'val': 'b'}, schedule='cosine', schedule_steps=9),
    EvaluateConfig(),
    EvaluateConfig(checkpoint='a', also_first=(1, 2), original_size=True, benchmark='fss'),
    PrecisionConfig(checkpoint='a', episodes=3),
    PredictConfig(),
    PredictConfig(query=('a', 'b'), support_images=('c',), support_masks=('d',), mask_value=0),
    SweepConfig(),
    SweepConfig(space='a.toml', asha=True, gpus_per_trial=0.5, search='tpe'),
    TinyConfig(output='a.safetensors'),
    Some('x', 1.0, (1, 2), {'a': 'b'}),
  ],
)
def test_a_configuration_comes_back_as_it_was(config):
  text = json.dumps(to_json(config))
  assert from_json(type(config), json.loads(text), source='run.json') == config


def test_what_is_left_out_has_its_default():
  assert from_json(Some, {'needed': 'x', 'rate': 1}, source='run.json') == Some('x', 1)


@pytest.mark.parametrize(
  'values, name',
  [
    ({'needed': 'x', 'speed': 1}, 'speed'),
    ({}, 'needed'),
    ({'needed': 1}, 'needed'),
    ({'needed': 'x', 'rate': True}, 'rate'),
    ({'needed': 'x', 'rate': None}, 'rate'),
    ({'needed': 'x', 'several': [1, 'a']}, 'several'),
    ({'needed': 'x', 'lists': [1]}, 'lists'),
  ],
)
def test_what_is_none_of_its_fields_is_named_with_the_source(values, name):
  with pytest.raises(InputError, match=f'run.json: .*`{name}`'):
    from_json(Some, values, source='run.json')


def test_what_the_configuration_itself_refuses_is_named_with_the_source():
  with pytest.raises(InputError, match='run.json: `shots`=0'):
    from_json(EpisodeSettings, {'shots': 0}, source='run.json')
