// Shows beside the picture what the server and the page know; reads nothing back.

import { markOf } from './gallery.js';
import { t } from './words.js';

const byId = (id) => document.getElementById(id);

function set(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

export function duration(seconds) {
  return seconds < 90 ? t('seconds', { n: Math.ceil(seconds) })
    : t('minutes', { n: Math.ceil(seconds / 60) });
}

export function showWork(work, counts) {
  byId('bar').hidden = !work;
  if (work) {
    byId('bar').max = Math.max(1, work.total);
    byId('bar').value = work.done;
    const left = work.seconds_left;
    set('counts', left === null || left === undefined
      ? t('progress', work) : t('progress_left', { ...work, left: duration(left) }));
  } else if (counts) {
    set('counts', t('idle', counts));
  }
}

export function showFilters(counts) {
  const select = byId('filter');
  const states = ['all', 'drawn', 'found', 'absent', 'accepted', 'rejected', 'waiting'];
  states.forEach((state, i) => {
    const option = select.options[i] ?? select.appendChild(new Option('', state));
    option.textContent = `${t(`state_${state}`)} (${counts[state] ?? 0})`;
  });
}

export function showPicture(picture, classes) {
  set('name', picture.name);
  const facts = [[t('size'), `${picture.width} × ${picture.height}`], [t('state'), t(`mark_${markOf(picture)}`)]];
  if (picture.confidence !== null) {
    facts.push([t('confidence'), `${Math.round(picture.confidence * 100)}%`]);
  }
  for (const { number, name } of classes) {
    const area = picture.areas?.[number];
    if (area) facts.push([name, `${(area * 100).toFixed(area < 0.1 ? 1 : 0)}%`]);
  }
  byId('facts').replaceChildren(...facts.flatMap(([term, value]) => [
    Object.assign(document.createElement('dt'), { textContent: term }),
    Object.assign(document.createElement('dd'), { textContent: value }),
  ]));
  byId('support').checked = picture.is_support;
  byId('drop').disabled = picture.state !== 'drawn';
  byId('accept').setAttribute('aria-pressed', picture.decision === 'accepted');
  byId('reject').setAttribute('aria-pressed', picture.decision === 'rejected');
  const problem = byId('problem');
  problem.hidden = !picture.problem;
  problem.textContent = picture.problem ?? '';
}

export function showSaving(state, connected) {
  const line = byId('saving');
  const word = !connected && state === 'saved' ? 'gone' : state;
  line.dataset.state = word;
  set('saving', t(word));
}

let clearing = 0;

// Says what happened, to be seen and to be heard.
export function say(text, kind = '') {
  const line = byId('said');
  line.textContent = text;
  line.dataset.kind = kind;
  line.classList.add('seen');
  clearTimeout(clearing);
  clearing = setTimeout(() => line.classList.remove('seen'), kind === 'error' ? 9000 : 3500);
}
