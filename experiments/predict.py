"""Segments the object that support images show, in other images, at their own size.

Examples, from the checkout's folder:

  One support image with its mask, a folder of queries:
    python -m experiments.predict --checkpoint=runs/shapes-fold0-1shot-tiny/checkpoints/best \\
      --support_images=dog.jpg --support_masks=dog.png --query=photos --output_dir=masks

  Three supports, two queries; of the masks only the pixels of value 12:
    python -m experiments.predict --checkpoint=best --support_images=a.jpg,b.jpg,c.jpg \\
      --support_masks=a.png,b.png,c.png --mask_value=12 --query=x.jpg,y.jpg --output_dir=masks

In a support's mask every value but 0 is the object, with two exceptions. PASCAL's boundary, 255
beside a palette's indices or beside gray values of 20 and less, is background. And where 255 is the
commonest gray value but 0, the others are soft edges, and the object is what has 128 or more; a
JPEG, too, is cut at half of its largest value. --mask_value chooses one value instead.

Writes NAME_mask.png (255 on the object, 0 elsewhere) and NAME_overlay.png for every query. Images
are turned upright as their EXIF data says. Nothing is written unless all inputs can be read:
results get their names together, at the end.
"""

from experiments.command import app
from experiments.command.flags import config_from_flags, define_flags
from experiments.evaluation.config import PredictConfig

define_flags(PredictConfig)


def main() -> None:
  """Predicts as the flags say."""
  from experiments.evaluation.predicting import predict

  predict(config_from_flags(PredictConfig))


if __name__ == '__main__':
  app.run(main)
