"""Draws docs/label_*.png, the page of labels as a browser shows it: python -m docs.draw_page.

Takes the photographs that come with the project through the tutorial of docs/labelling.md. It needs
what the tests of the page need: playwright, and a Chromium on PATH or named by $HSNET_CHROMIUM;
for the Korean picture a font that has Hangul.
"""

import io
import pathlib
import shutil
import tempfile

import numpy as np
from PIL import Image

from tests.label_page import Page, Server, find_chromium

ROOT = pathlib.Path(__file__).resolve().parents[1]
PHOTOGRAPHS = ROOT / 'experiments' / 'photographs'
SIZE = {'width': 1240, 'height': 760}
PHONE = {'width': 390, 'height': 780}


def outline(mask: np.ndarray, *, every: int) -> list[tuple[float, float]]:
  """Returns an outline as a person clicks it: down one side of a mask, and up the other.

  Args:
    mask: what is to be outlined, [H, W].
    every: how many rows lie between two clicks.

  Returns:
    Points of the picture, x and y.
  """
  rows = np.flatnonzero(mask.any(1))
  rows = [*rows[1:-4:every], rows[-3]]
  left = [(np.argmax(mask[row]) + 0.5, row + 0.5) for row in rows]
  right = [(mask.shape[1] - np.argmax(mask[row][::-1]) - 0.5, row + 0.5) for row in rows]
  return [*left, *right[::-1]]


def save(page, name: str) -> None:
  """Saves what a page shows as docs/NAME, with a palette: a fifth of the bytes."""
  page.wait_for_timeout(900)  # Thumbnails, and a line that fades.
  image = Image.open(io.BytesIO(page.screenshot())).convert('RGB')
  image = image.quantize(256, kmeans=3, dither=Image.Dither.NONE)
  image.save(ROOT / 'docs' / name, optimize=True)


def follow_the_tutorial(server: Server, browser) -> None:
  """Does what docs/labelling.md says, and takes its pictures."""
  page = Page(server, browser.new_page(viewport=SIZE))
  with Image.open(PHOTOGRAPHS / 'astronaut_mask.png') as mask:
    points = outline(np.asarray(mask) > 0, every=26)
  page.open('astronaut.jpg')
  page.click(*points[:-6])
  page.page.mouse.move(*page.at(*points[-6]))
  save(page.page, 'label_outline.png')
  page.click(*points[-6:])
  page.press('Enter', 'Enter')
  page.page.wait_for_selector('.item[data-mark=absent]')
  page.page.wait_for_selector('#bar', state='hidden')
  page.page.wait_for_function('() => document.querySelectorAll("#facts dt").length > 2')
  save(page.page, 'label_found.png')
  page.press('x')
  for one in ('coco', 'folder'):
    page.page.check(f'[name=format][value={one}]')
  save(page.page, 'label_export.png')
  page.press('Escape')
  page.page.select_option('#language', 'ko')
  page.press('?')
  save(page.page, 'label_korean.png')
  phone = Page(server, browser.new_page(viewport=PHONE, has_touch=True, is_mobile=True))
  phone.open('camera.jpg')
  save(phone.page, 'label_phone.png')


def main() -> None:
  """Serves the photographs from a folder of their own and draws all pictures."""
  from playwright.sync_api import sync_playwright

  with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
    folder = pathlib.Path(place) / 'photographs'
    folder.mkdir()
    for path in PHOTOGRAPHS.glob('*.jpg'):
      shutil.copy(path, folder)
    server = Server(folder)
    try:
      browser = playwright.chromium.launch(executable_path=find_chromium(), args=['--no-sandbox'])
      follow_the_tutorial(server, browser)
      browser.close()
    finally:
      server.kill()


if __name__ == '__main__':
  main()
