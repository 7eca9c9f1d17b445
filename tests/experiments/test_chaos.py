"""A real run, really killed; thirty of them are `python -m experiments.chaos --rounds=30`."""

import pytest


@pytest.mark.heavy  # Four runs; training/test_run.py resumes one that a function stops.
def test_a_killed_run_ends_as_one_that_never_was(script):
  done = script('chaos', '--rounds=1', '--epochs=2')
  assert done.returncode == 0, (done.stdout, done.stderr)
  assert 'killed while saving, return code -9, left' in done.stdout
  assert '1 of 1 rounds bit-equal (1 saving)' in done.stdout
