// Buttons, sliders, selects and keys: what a person does with each.

import { fillFormats, fillHelp } from './dialogs.js';
import { exportAll } from './api.js';
import { bindKeys } from './keys.js';
import { say } from './panel.js';
import { TOOLS } from './tools.js';
import { t } from './words.js';

const byId = (id) => document.getElementById(id);
const [LEAST, MOST] = [1, 600]; // pixels of a brush
const OPACITIES = [35, 60, 85, 100];

// Buttons that were clicked give the keyboard back to the picture.
function press(id, action, bench) {
  byId(id).addEventListener('click', (event) => {
    action();
    if (event.detail > 0) bench.stage.focus({ preventScroll: true });
  });
}

export function chooseTool(bench, tool) {
  bench.tools.choose(tool);
  bench.pointer.hand = tool === 'hand';
  say(t('said_tool', { tool: t(tool), tip: t(`tip_${tool}`) }), 'quiet');
  bench.look();
}

function setSize(bench, size) {
  bench.tools.size = Math.min(MOST, Math.max(LEAST, Math.round(size)));
  bench.tools.hint();
  bench.look();
}

function setOpacity(value) {
  byId('opacity').value = value;
  byId('mask').style.opacity = value / 100;
}

// What follows the view, the tool and the history.
export function showControls(bench) {
  const { tools, editor, view } = bench;
  for (const button of document.querySelectorAll('button[data-tool]')) {
    button.setAttribute('aria-pressed', button.dataset.tool === tools.tool);
  }
  byId('stage').dataset.tool = tools.tool;
  const tip = tools.cross ? t('cross_on') : t(`tip_${tools.tool}`);
  if (byId('tip').textContent !== tip) byId('tip').textContent = tip;
  byId('undo').disabled = !editor.history.done.length;
  byId('redo').disabled = !editor.history.undone.length;
  const zoom = `${Math.round(view.scale * 100)}%`;
  if (byId('zoom-value').textContent !== zoom) byId('zoom-value').textContent = zoom;
  const size = tools.size ?? LEAST;
  byId('size').value = (Math.log(size / LEAST) / Math.log(MOST / LEAST)) * 100;
  byId('size-value').textContent = size;
  byId('done').disabled = !bench.isReady;
}

function zoom(bench, factor) {
  if (factor) bench.view.zoom(factor);
  else bench.view.fit();
  bench.moved();
}

function travel(bench, way) {
  if (bench.tools.drop()) return;
  say(t(bench.editor[way]() ? `said_${way === 'undo' ? 'undone' : 'redone'}` : 'said_nothing'), 'quiet');
}

function hideMask() {
  const hidden = byId('mask').classList.toggle('hidden');
  say(t(hidden ? 'said_hidden' : 'said_shown'), 'quiet');
}

function toggleCross({ tools, view, look, isReady }) {
  if (!isReady) return;
  const { width, height } = view.screen;
  tools.drop();
  tools.cross = tools.cross ? null : view.toPicture(width / 2, height / 2);
  tools.hover(tools.cross);
  say(t(tools.cross ? 'cross_on' : 'cross_off'));
  look();
}

export function showHelp() {
  fillHelp(byId('help-keys'));
  byId('help-dialog').showModal();
}

// Asks a question; gives whether the answer is yes.
export function ask(words) {
  const dialog = byId('ask-dialog');
  byId('ask-words').textContent = words;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

export function showExport(formats) {
  fillFormats(byId('formats'), formats);
  byId('exported').textContent = '';
  byId('export-dialog').showModal();
}

async function exportNow(saver) {
  const chosen = [...document.querySelectorAll('[name=format]:checked')].map((box) => box.value);
  const what = document.querySelector('[name=what]:checked').value;
  const line = byId('exported');
  if (!chosen.length) return void (line.textContent = t('choose_format'));
  byId('export-now').disabled = true;
  line.textContent = t('exporting');
  try {
    await saver.settled();
    line.textContent = t('exported', await exportAll(chosen, what));
  } catch (error) {
    line.textContent = error.message || t('gone');
  }
  byId('export-now').disabled = false;
  return undefined;
}

export function bindControls({ bench, server, chooseClass }) {
  for (const button of document.querySelectorAll('button[data-tool]')) {
    button.addEventListener('click', (event) => {
      chooseTool(bench, button.dataset.tool);
      if (event.detail > 0) bench.stage.focus({ preventScroll: true });
    });
  }
  const presses = {
    undo: () => travel(bench, 'undo'), redo: () => travel(bench, 'redo'),
    'zoom-in': () => zoom(bench, 1.4), 'zoom-out': () => zoom(bench, 1 / 1.4),
    fit: () => zoom(bench, 0),
    previous: () => bench.step(-1), next: () => bench.nextOpen(), done: () => bench.done(),
    accept: () => bench.decide('accepted'), reject: () => bench.decide('rejected'),
    'undo-found': server.undo, 'redo-found': server.redo, again: server.again,
    drop: async () => await ask(t('sure_drop')) && bench.dropDrawing(),
  };
  for (const [id, action] of Object.entries(presses)) press(id, action, bench);
  byId('export').addEventListener('click', server.export);
  byId('export-now').addEventListener('click', () => exportNow(bench.saver));
  byId('help').addEventListener('click', showHelp);
  byId('support').addEventListener('change', () => bench.toggleSupport());
  byId('opacity').addEventListener('input', () => setOpacity(byId('opacity').value));
  byId('size').addEventListener('input', () => {
    setSize(bench, LEAST * (MOST / LEAST) ** (byId('size').value / 100));
  });
  setOpacity(byId('opacity').value);
  bindAll(bench, server, chooseClass);
}

function opacityStep() {
  const now = Number(byId('opacity').value);
  setOpacity(OPACITIES.find((one) => one > now) ?? OPACITIES[0]);
}

function bindAll(bench, server, chooseClass) {
  const { tools } = bench;
  const letters = { p: 'polygon', b: 'brush', e: 'eraser', t: 'rectangle', f: 'fill', h: 'hand' };
  console.assert(Object.values(letters).every((tool) => TOOLS.includes(tool)));
  const actions = {
    Enter: () => (tools.points.length ? tools.close() : bench.done()),
    a: () => bench.decide('accepted'), r: () => bench.decide('rejected'),
    n: () => bench.nextOpen(), s: () => bench.toggleSupport(),
    ArrowRight: () => bench.step(1), ArrowDown: () => bench.step(1),
    ArrowLeft: () => bench.step(-1), ArrowUp: () => bench.step(-1),
    'Ctrl+z': () => travel(bench, 'undo'), 'Ctrl+y': () => travel(bench, 'redo'),
    'Ctrl+Shift+z': () => travel(bench, 'redo'),
    Backspace: () => tools.backspace(), Escape: () => tools.drop(),
    '+': () => zoom(bench, 1.4), '=': () => zoom(bench, 1.4), '-': () => zoom(bench, 1 / 1.4),
    0: () => zoom(bench, 0), m: hideMask, o: opacityStep, k: () => toggleCross(bench),
    '[': () => setSize(bench, Math.min(tools.size - 1, tools.size / 1.25)),
    ']': () => setSize(bench, Math.max(tools.size + 1, tools.size * 1.25)),
    u: server.undo, 'Shift+u': server.redo, x: server.export, '?': showHelp,
    Space: () => { bench.pointer.hand = true; },
  };
  for (const [key, tool] of Object.entries(letters)) actions[key] = () => chooseTool(bench, tool);
  for (let number = 1; number <= 9; number++) actions[number] = () => chooseClass(number);
  bindKeys(actions, { before: (name) => crossKey(bench, name) });
  window.addEventListener('keyup', ({ key }) => {
    if (key === ' ') bench.pointer.hand = tools.tool === 'hand';
  });
  window.addEventListener('blur', () => { bench.pointer.hand = tools.tool === 'hand'; });
}

// While the keys draw, arrows move the cross and the space bar presses.
function crossKey({ tools, view, isReady }, name) {
  const [way, fine] = [name.replace('Shift+', ''), name.startsWith('Shift+')];
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (!tools.cross || !isReady) return false;
  if (way === 'Space') {
    tools.pressCross();
    return true;
  }
  if (!ways[way]) return false;
  const step = fine ? 1 : Math.max(1, Math.round(10 / view.scale));
  tools.moveCross(ways[way][0] * step, ways[way][1] * step);
  return true;
}
