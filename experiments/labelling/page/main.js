// Starts the page, and keeps what it shows to what the server says.

import * as api from './api.js';
import { showClasses } from './classes.js';
import { Conflicts } from './conflicts.js';
import { bindControls, showControls, showExport } from './controls.js';
import { Drafts } from './drafts.js';
import { Gallery } from './gallery.js';
import { say, showFilters, showPicture, showSaving, showWork } from './panel.js';
import { Saver } from './saving.js';
import { Workbench } from './workbench.js';
import { firstLanguage, setLanguage, t } from './words.js';

const byId = (id) => document.getElementById(id);
const OFTEN = 400; // ms between two looks at what changed

let state = null;
let connected = true;
let saving = 'saved';

setLanguage(firstLanguage());
byId('language').value = document.documentElement.lang;

const gallery = new Gallery({
  list: byId('list'), chosen: (name) => bench.open(name),
  busy: (name) => bench.saver.jobs.has(name),
});
const bench = new Workbench({ gallery, look: () => showControls(bench) });
const conflicts = new Conflicts({ bench });

function take(answer) {
  state = answer;
  const name = state.folder.split(/[\\/]/).filter(Boolean).at(-1) ?? state.folder;
  byId('folder').textContent = name;
  byId('folder').title = state.folder;
  showFilters(state.counts);
  showWork(state.work, state.counts);
  byId('undo-found').disabled = !state.can_undo;
  byId('redo-found').disabled = !state.can_redo;
  bench.setClasses(state.classes);
  gallery.classes = state.classes;
  listClasses();
  if (state.message && state.message !== take.told) say(state.message, 'error');
  take.told = state.message;
}

function listClasses() {
  showClasses(byId('classes'), state.classes, bench.tools.number, {
    choose: chooseClass, change: (number, change) => request(api.changeClass(number, change)),
  });
}

function chooseClass(number) {
  const one = state.classes.find((each) => each.number === number);
  if (!one) return;
  bench.tools.number = number;
  bench.tools.hint();
  listClasses();
  say(t('said_class', one), 'quiet');
}

// Waits for a change of the state; says what was wrong with it.
async function request(asked, words) {
  try {
    take(await asked);
    if (words) say(t(words));
    return true;
  } catch (error) {
    say(error.message || t(error.status ? 'unknown' : 'gone'), 'error');
    listClasses();
    return false;
  }
}

const server = {
  undo: () => { request(api.undoFound(), 'said_found_undone'); },
  redo: () => { request(api.redoFound(), 'said_found_redone'); },
  again: () => { request(api.propagate()); },
  export: () => { if (state) showExport(state.formats); },
};

// What changed is looked at once in a while, however often it does.
let asked = null;
let again = false;

function look() {
  if (asked) {
    again = true;
    return;
  }
  asked = (async () => {
    try {
      take(await api.getState());
      await Promise.all([gallery.refresh(), bench.follow()]);
    } catch {
      // Said by `connected`; asked again when the server is there.
    }
    setTimeout(() => {
      asked = null;
      if (again) look();
      again = false;
    }, OFTEN);
  })();
}

function listenToServer() {
  api.listen((event) => {
    if (event.work) showWork(event.work, state?.counts);
    look();
  }, (yes) => {
    if (yes && !connected) {
      bench.saver.hurry();
      look();
    }
    connected = yes;
    showSaving(saving, connected);
  });
}

function makeSaver() {
  return new Saver({
    drafts: new Drafts(state.folder),
    saved: (picture, mark) => bench.saved(picture, mark),
    status: (word) => {
      saving = word;
      showSaving(saving, connected);
    },
    conflict: (job) => conflicts.meet(job),
    failed: (name, message) => {
      if (bench.picture?.name === name) bench.show(bench.picture);
      say(t('failed', { name, message }), 'error');
    },
  });
}

function bindPage() {
  bindControls({ bench, server, chooseClass });
  byId('filter').addEventListener('change', ({ target }) => gallery.choose({ state: target.value }));
  byId('order').addEventListener('change', ({ target }) => gallery.choose({ order: target.value }));
  byId('language').addEventListener('change', ({ target }) => {
    setLanguage(target.value);
    take(state);
    if (bench.picture) showPicture(bench.picture, state.classes);
    gallery.show();
    showControls(bench);
    showSaving(saving, connected);
  });
  byId('add').addEventListener('submit', async (event) => {
    event.preventDefault();
    const name = byId('new-class').value.trim();
    if (!name) return;
    byId('new-class').value = '';
    const done = await request(api.addClass({ name }));
    if (done) chooseClass(state.classes.at(-1).number);
  });
  // What this browser keeps is sent when the page is opened again; the rest would be lost.
  window.addEventListener('beforeunload', (event) => {
    if (!bench.saver.keepAll()) event.preventDefault();
  });
  window.addEventListener('pagehide', () => bench.saver.leave());
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) bench.saver.hurry();
  });
}

// Says what went wrong, and lets the page go on without it.
async function attempt(what) {
  try {
    return await what();
  } catch (error) {
    say(error.message || t('gone'), 'error');
    return undefined;
  }
}

async function start() {
  for (let wait = 500; !state; wait = Math.min(wait * 2, 5000)) {
    try {
      take(await api.getState());
    } catch (error) {
      say(error.status === 403 ? t('refused') : t('gone'), 'error');
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  bench.saver = makeSaver();
  bindPage();
  showControls(bench);
  showSaving(saving, connected);
  await attempt(() => bench.saver.takeUp());
  await attempt(() => gallery.refresh());
  listenToServer();
  const first = await attempt(() => gallery.nextOpen());
  const name = gallery.at(0)?.state === 'waiting' ? gallery.at(0).name : first?.name;
  if (name ?? gallery.at(0)) await bench.open(name ?? gallery.at(0).name);
  document.body.dataset.ready = 'yes';
  byId('stage').focus({ preventScroll: true });
}

start();
