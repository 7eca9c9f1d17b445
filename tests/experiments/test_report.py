"""The command experiments.report; what it does is tested in reporting/page/."""

import pytest

from tests.experiments.reporting.page.made import evaluation


@pytest.mark.heavy
def test_words_without_a_flag_are_folders(script, tmp_path):
  folders = [evaluation(tmp_path / name, seed=k) for k, name in enumerate(('a', 'b'))]
  done = script('report', folders[0], '--output_dir=out', folders[1], cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  assert 'out/report.html' in done.stdout and done.stderr == ''
  text = (tmp_path / 'out' / 'report.html').read_text('utf-8')
  assert 'Evaluations: a, b; of pascal fold 0, 1-shot.' in text


def test_what_is_wrong_is_said_in_a_line(served, failure, tmp_path):
  assert '--results is missing' in failure(served('report', cwd=tmp_path))
  assert 'nowhere: is no folder' in failure(served('report', '--results=nowhere', cwd=tmp_path))
  folders = [
    evaluation(tmp_path / 'a', pictures=False),
    evaluation(tmp_path / 'b', pictures=False, protocol='distinct'),
  ]
  assert '--mix' in failure(served('report', f'--results={",".join(folders)}', cwd=tmp_path))
  assert {path.name for path in tmp_path.iterdir()} == {'a', 'b'}
