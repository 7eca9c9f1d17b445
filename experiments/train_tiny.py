"""Trains the `tiny` backbone, whose weights come with the project.

  The shipped weights (8000 pictures, 3000 steps; 21 minutes on two busy cores):
    python -m experiments.train_tiny --output=tiny.safetensors

It sees drawn outlines of 250 random classes, none of which resembles the 20 of `shapes`
(`data_pipelines.shapes.others`). Every feature map learns, position by position, three things that
outlines are told by: where objects are, what class the object here has, and how its outline looks
upright. Colors are mixed at random in every step, so that they mean nothing.

Pictures without textures come first and give way to the full ones over the first 40% of the steps;
kernels are trained with orthogonalized momentum (Muon). At the end the finest map tells the class
of 41% of the objects' positions and the coarsest of 71% (chance: 0.4%).
"""

from experiments.command import app
from experiments.command.cache import define_cache
from experiments.command.flags import config_from_flags, define_flags
from experiments.tiny_backbone import TinyConfig

define_flags(TinyConfig)
define_cache()


def main() -> None:
  """Trains as the flags say."""
  config = config_from_flags(TinyConfig)
  from experiments.tiny_backbone import train_tiny  # Brings JAX, which --help needs not.

  print(f'weights: {train_tiny(config)}')


if __name__ == '__main__':
  app.run(main)
