"""Defines the one error that a user of the library or its commands can cause and mend."""


class InputError(ValueError):
  """Tells that something outside the code is wrong: a file, a flag, a checkpoint, a class name.

  The message is one line that names the thing and says what to do about it. Commands print it
  and exit with code 2; any other exception is a bug and keeps its traceback.
  """
