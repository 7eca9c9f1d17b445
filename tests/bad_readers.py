"""Readers that do what no reader may, each in its own way, and one that is good."""

import os
import time

from experiments.recovery.readers import Reader
from experiments.recovery.samples import write
from hsnet_jax.errors import InputError

VALID = 'a value of the right length\n'


def make(folder):
  write(folder / 'file.txt', VALID)


def of_broken(act):
  """Reads the valid file; does `act` with any other."""

  def read(folder):
    path = folder / 'file.txt'
    if not path.is_file() or path.read_bytes() != VALID.encode():
      act()

  return read


def refuse():
  raise InputError('file.txt: another file')


def refuse_without_a_word():
  raise InputError(' ')


def raise_a_bug():
  raise KeyError('planted')


def take_memory():
  taken = bytearray()
  while True:
    taken += bytes(10_000_000)


def take_time():
  time.sleep(60)


def crash():
  os._exit(7)


READERS = {
  'good': Reader(make, of_broken(refuse)),
  'silent': Reader(make, of_broken(refuse_without_a_word)),
  'bug': Reader(make, of_broken(raise_a_bug)),
  'hungry': Reader(make, of_broken(take_memory)),
  'slow': Reader(make, of_broken(take_time)),
  'crash': Reader(make, of_broken(crash)),
}
EXPECTED = {
  'good': 'refused',
  'silent': 'message',
  'bug': 'traceback',
  'hungry': 'memory',
  'slow': 'time',
  'crash': 'crash',
}
