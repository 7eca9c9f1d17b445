"""The command experiments.predict; what it does is tested in evaluation/."""

import pytest
from PIL import Image

from tests.experiments.evaluation.given import mask, picture, size_of


@pytest.mark.heavy  # Trains in a process; evaluation/test_predicting.py has all of it.
def test_a_real_process_predicts_with_a_trained_run(script, trained, tmp_path):
  args = [f'--support_images={picture(tmp_path / "a.jpg")}']
  args += [f'--support_masks={mask(tmp_path / "a.png", value=12)}', '--mask_value=12']
  query = picture(tmp_path / 'q.jpg', size=(50, 30))
  done = script('predict', f'--checkpoint={trained[0]}', *args, f'--query={query}', cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  assert '1 masks and overlays are in predictions' in done.stdout
  assert size_of(tmp_path / 'predictions' / 'q_predicted.png') == (50, 30)


def test_bad_input_is_one_line_and_nothing_is_written(served, failure, tmp_path):
  query = picture(tmp_path / 'q.jpg', size=(200, 200))
  for flags, words in (
    ([], '--query is missing'),
    ([f'--query={tmp_path / "no.jpg"}'], 'no.jpg'),
    ([f'--query={query}'], '--support_images is missing'),
    ([f'--query={query}', '--checkpoint=no'], 'no: there is no such checkpoint'),
    ([f'--query={query}', '--mask_value=256'], '--mask_value'),
  ):
    assert words in failure(served('predict', *flags, cwd=tmp_path))
  assert list(tmp_path.iterdir()) == [query]


def test_a_photograph_of_90_megapixels_is_no_attack(served, failure, tmp_path):
  Image.new('1', (10000, 9000)).save(tmp_path / 'q.png')
  done = served('predict', f'--query={tmp_path / "q.png"}', cwd=tmp_path)
  assert '--support_images is missing' in failure(done) and 'warning' not in done.stderr


def test_a_flag_given_twice_means_both(served, failure, tmp_path):
  query = picture(tmp_path / 'q.jpg')
  done = served('predict', f'--query={query}', f'--query={tmp_path / "no.jpg"}', cwd=tmp_path)
  assert 'no.jpg' in failure(done)
  done = served('predict', f'--query={tmp_path / "no.jpg"}', f'--query={query}', cwd=tmp_path)
  assert 'no.jpg' in failure(done)
