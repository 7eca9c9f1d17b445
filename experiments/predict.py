"""Segments the object that support images show, in other images, at their own size.

Examples, from the checkout's folder:

  One support image with its mask, a folder of queries, by the model that comes with the package:
    python -m experiments.predict --support_images=dog.jpg --support_masks=dog.png \\
      --query=pictures --output_dir=masks

  By a model of one's own:
    python -m experiments.predict --checkpoint=runs/shapes-fold0-1shot-tiny/checkpoints/best \\
      --support_images=dog.jpg --support_masks=dog.png --query=pictures --output_dir=masks

  Three supports, two queries; of the masks only the pixels of value 12:
    python -m experiments.predict --checkpoint=best --support_images=a.jpg,b.jpg,c.jpg \\
      --support_masks=a.png,b.png,c.png --mask_value=12 --query=x.jpg,y.jpg --output_dir=masks

  Small objects, as many parts as they need, and a second look at what was found:
    python -m experiments.predict --support_images=bird.jpg --support_masks=bird.png \\
      --query=pictures --tiles=auto --second_look

  An outline of LabelMe or COCO, of one of the classes in it; all folders of a folder:
    python -m experiments.predict --checkpoint=best --support_images=a.jpg \\
      --support_masks=a.json --support_class=dog --query=pictures --recursive

  The masks as COCO's JSON and as LabelMe's, to correct and to train on:
    python -m experiments.predict --support_images=leaf.jpg --support_masks=leaf.png \\
      --query=pictures --output_dir=masks --formats=coco,labelme --class_name=leaf

In a support's mask, as a viewer shows it, everything but black is the object, with two exceptions.
PASCAL's boundary, 255 round objects of a palette's colors or of gray values of 20 and less, is
background. And where 255 is the commonest gray value but 0, the others are soft edges, and the
object is what has 128 or more; a JPEG, too, is cut at half of its largest value. --mask_value
chooses one value instead; a doubtful mask is named in a warning.

Writes NAME_predicted.png (255 on the object, 0 elsewhere) and NAME_overlay.png for every query, and
of a file of several pages for each. Images are turned upright as their EXIF data says; one of 179
megapixels or more is refused. In a folder, hidden files, masks beside their pictures (a.png of
a.jpg, b_mask.png) and results are no queries; what is left out is counted.

summary.csv has a line a picture, the least certain first: that is a presence near one half, then a
low confidence; contact_sheet.png shows the first of them. The same command again passes over what
is done (--again does not): whatever stopped it, it goes on where it was, and ends with the same
files. --formats makes folders for other tools of all that is done.

A file is replaced only if it is an unchanged result of the same command. Results of another
checkpoint, support set, size or way to look (--tiles, --second_look), and those whose name a file
of yours has, get a number: NAME_predicted-2.png. Each carries in its PNG text what it is of.

Nothing is written before checkpoint, supports and flags are known to be sound. Then results are
written one by one; a query that cannot be read is named, and the others are done. The exit code is
2 if any is not done, and the last line says how many; 0 if all are done.
"""

from experiments.command import app
from experiments.command.cache import define_cache
from experiments.command.flags import config_from_flags, define_flags
from experiments.evaluation.config import PredictConfig

define_flags(PredictConfig)
define_cache()


def main() -> None:
  """Predicts as the flags say."""
  from experiments.evaluation.predicting import predict

  predict(config_from_flags(PredictConfig))


if __name__ == '__main__':
  app.run(main)
