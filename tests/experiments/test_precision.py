"""The command experiments.precision; what it does is tested in evaluation/."""


def test_the_command_says_what_is_missing(served, failure):
  assert '--checkpoint is missing' in failure(served('precision'))
