"""Runs the page of labels for its tests: a server that can be killed, a browser, what was drawn."""

import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
TOKEN = 'a-token-of-the-tests'
# What a browser writes down of the pointer, as the page is told it.
RECORD = """
window.passed = [];
for (const kind of ['pointerdown', 'pointermove', 'pointerup']) {
  window.addEventListener(kind, (event) => {
    const parts = kind === 'pointermove' ? event.getCoalescedEvents() : [];
    for (const one of parts.length ? parts : [event]) {
      window.passed.push([kind, one.clientX, one.clientY]);
    }
  }, true);
}
"""


def find_chromium() -> str:
  """Returns a Chromium's path; skips the test where there is none."""
  pytest.importorskip('playwright')
  pytest.importorskip('fastapi')
  names = ('chromium', 'chromium-browser', 'google-chrome')
  found = os.environ.get('HSNET_CHROMIUM') or next(filter(None, map(shutil.which, names)), None)
  if not found:
    pytest.skip('needs a Chromium: none on PATH, and $HSNET_CHROMIUM is not set')
  return found


def save_pictures(folder: pathlib.Path, names, *, size=(240, 320)):
  """Saves pictures of a bright disc on dark noise, a little elsewhere in each."""
  folder.mkdir(parents=True, exist_ok=True)
  rows, columns = np.mgrid[: size[0], : size[1]]
  for i, name in enumerate(names):
    image = np.random.default_rng(i).integers(20, 70, (*size, 3), np.uint8)
    row, column = size[0] * (0.4 + 0.02 * (i % 8)), size[1] * (0.35 + 0.04 * (i % 8))
    image[(rows - row) ** 2 + (columns - column) ** 2 < (size[0] / 5) ** 2] = (230, 120, 30)
    Image.fromarray(image).save(folder / name)


class Server:
  """Serves a folder, as the command does; may be killed and started again at the same address."""

  def __init__(self, folder: pathlib.Path):
    """Starts it at a free port."""
    self.folder, self.port, self.process = folder, 0, None
    self.start()

  def start(self) -> None:
    """Starts the command and waits until it says its address."""
    command = [sys.executable, '-m', 'experiments.label', str(self.folder), f'--port={self.port}']
    command += [f'--token={TOKEN}', '--noopen_browser']
    environment = {**os.environ, 'XLA_FLAGS': '', 'PYTHONPATH': str(ROOT)}
    self.process = subprocess.Popen(
      command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    said = []
    for line in self.process.stdout:
      said.append(line)
      if line.startswith('open '):
        self.address = line.split()[1]
        self.port = urllib.parse.urlsplit(self.address).port
        wait_until(self.answers)
        return
    raise AssertionError(f'no address: {said}')

  def answers(self) -> bool:
    """Says whether it answers."""
    try:
      self.get('state')
    except OSError:
      return False
    return True

  @property
  def is_alive(self) -> bool:
    """Says whether it runs."""
    return self.process.poll() is None

  def kill(self) -> None:
    """Kills it as nothing can be kept from."""
    if not self.is_alive:
      return
    self.process.send_signal(signal.SIGKILL)
    self.process.wait()
    self.process.stdout.close()

  def get(self, path: str):
    """Returns (headers, body) of an answer."""
    request = urllib.request.Request(
      f'http://127.0.0.1:{self.port}/api/{path}', headers={'X-Hsnet-Token': TOKEN}
    )
    with urllib.request.urlopen(request) as answer:
      return answer.headers, answer.read()

  def mask(self, name: str):
    """Returns what is stored of a picture, [H, W]; None where nothing is."""
    _, body = self.get(f'pictures/{urllib.parse.quote(name, safe="")}/mask')
    return np.asarray(Image.open(io.BytesIO(body))) if body else None


class Page:
  """Drives a page as a person would."""

  def __init__(self, server: Server, page):
    """Opens the page of a server in a page of Playwright."""
    self.server, self.page = server, page
    self.requests, self.errors, self.dialogs = [], [], []
    page.on('request', lambda request: self.requests.append(request.url))
    page.on('pageerror', lambda error: self.errors.append(str(error)))
    page.on('dialog', lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
    page.add_init_script(RECORD)
    self.enter()

  def enter(self) -> None:
    """Goes to the address that the command prints."""
    self.page.goto(self.server.address)
    self.ready()

  def ready(self) -> None:
    """Waits until the page has a picture."""
    self.page.wait_for_selector('body[data-ready]')
    self.page.wait_for_selector('#stage:not([aria-busy])')

  def open(self, name: str) -> None:
    """Clicks at a picture in the list."""
    self.page.locator('[role=option]', has=self.page.get_by_text(name, exact=True)).click()
    self.page.wait_for_function(
      '(name) => document.querySelector("#name").textContent === name', arg=name
    )
    self.page.wait_for_selector('#stage:not([aria-busy])')

  @property
  def view(self):
    """Returns (left, top, scale) of the picture on the screen."""
    box = self.page.locator('#stage').bounding_box()
    scale, x, y = map(float, self.page.get_attribute('#stage', 'data-view').split())
    return box['x'] + x, box['y'] + y, scale

  def at(self, x: float, y: float):
    """Returns where a point of the picture is on the screen."""
    left, top, scale = self.view
    return left + x * scale, top + y * scale

  def passed(self):
    """Returns what the pointer passed since the last time, [kind, x, y] in the picture."""
    left, top, scale = self.view
    events = self.page.evaluate('window.passed.splice(0)')
    return [(kind, (x - left) / scale, (y - top) / scale) for kind, x, y in events]

  def drag(self, *points):
    """Draws through points of the picture; returns the points that were passed."""
    self.passed()
    self.page.mouse.move(*self.at(*points[0]))
    self.passed()
    self.page.mouse.down()
    for point in points[1:]:
      self.page.mouse.move(*self.at(*point), steps=4)
    self.page.mouse.up()
    return [(x, y) for kind, x, y in self.passed() if kind != 'pointerup']

  def click(self, *points):
    """Clicks at points of the picture; returns the points where it did."""
    self.passed()
    for point in points:
      self.page.mouse.click(*self.at(*point))
    return [(x, y) for kind, x, y in self.passed() if kind == 'pointerdown']

  def saved(self) -> None:
    """Waits until the server has everything."""
    self.page.wait_for_selector('#saving[data-state=saved]')

  def press(self, *keys: str) -> None:
    """Presses keys, one after the other."""
    for key in keys:
      self.page.keyboard.press(key)

  def label(self, name: str):
    """Returns what is stored once everything is."""
    self.saved()
    return self.server.mask(name)


def wait_until(holds, *, seconds: float = 90) -> None:
  """Waits until a function returns something true."""
  until = time.monotonic() + seconds
  while not holds():
    assert time.monotonic() < until, 'it did not come'
    time.sleep(0.1)


def centers(shape):
  """Returns the x and y of all pixels' centers."""
  rows, columns = np.mgrid[: shape[0], : shape[1]]
  return columns + 0.5, rows + 0.5


def stroke(shape, points, radius):
  """Returns the pixels within `radius` of a line through points, bool [H, W]."""
  x, y = centers(shape)
  near = np.full(shape, np.inf)
  for (ax, ay), (bx, by) in zip(points, [*points[1:], points[-1]], strict=True):
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    along = ((x - ax) * dx + (y - ay) * dy) / length if length else np.zeros(shape)
    along = np.clip(along, 0, 1)
    near = np.minimum(near, np.hypot(x - ax - along * dx, y - ay - along * dy))
  return near <= radius


def rectangle(shape, a, b):
  """Returns the pixels between two corners, bool [H, W]."""
  x, y = centers(shape)
  across = (x >= min(a[0], b[0])) & (x <= max(a[0], b[0]))
  return across & (y >= min(a[1], b[1])) & (y <= max(a[1], b[1]))


def polygon(shape, points):
  """Returns the pixels that a polygon goes round an odd number of times, bool [H, W]."""
  x, y = centers(shape)
  inside = np.zeros(shape, bool)
  for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
    if ay != by:
      crosses = (ay <= y) != (by <= y)
      inside ^= crosses & (x >= ax + (y - ay) / (by - ay) * (bx - ax))
  return inside
