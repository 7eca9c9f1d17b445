"""The one error that a user of the library or its scripts can cause and mend."""


class InputError(ValueError):
  """Something outside the code is wrong: a file, a flag, a checkpoint, a class name.

  The message is one line that names the thing and says what to do about it. Scripts print it
  and exit with code 2; any other exception is a bug and keeps its traceback.
  """
