// The classes: one of them is drawn with; each has a number (its key), a color and a name.

import { t } from './words.js';

function make(one, { choose, change }) {
  const row = document.createElement('div');
  row.className = 'class';
  row.dataset.number = one.number;
  const radio = Object.assign(document.createElement('input'), { type: 'radio', name: 'class' });
  const key = Object.assign(document.createElement('kbd'), { textContent: one.number });
  const color = Object.assign(document.createElement('input'), { type: 'color' });
  const name = Object.assign(document.createElement('input'), { type: 'text', maxLength: 60 });
  name.spellcheck = false;
  radio.addEventListener('change', () => choose(one.number));
  color.addEventListener('change', () => change(one.number, { color: color.value }));
  name.addEventListener('change', () => {
    const written = name.value.trim();
    if (written) change(one.number, { name: written });
  });
  name.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') name.blur();
  });
  const label = document.createElement('label');
  label.append(radio, key);
  row.append(label, color, name);
  return row;
}

// Brings the rows up to date without disturbing what is being written.
export function showClasses(list, classes, chosen, actions) {
  const rows = new Map([...list.children].map((row) => [Number(row.dataset.number), row]));
  for (const one of classes) {
    if (!rows.has(one.number)) {
      rows.set(one.number, make(one, actions));
      list.append(rows.get(one.number));
    }
    const [radio, color, name] = rows.get(one.number).querySelectorAll('input');
    radio.checked = one.number === chosen;
    if (document.activeElement !== color) color.value = one.color;
    if (document.activeElement !== name) name.value = one.name;
    radio.setAttribute('aria-label', t('draw_with', one));
    color.setAttribute('aria-label', t('color_of', one));
    name.setAttribute('aria-label', t('name_of', one));
    name.title = one.name;
  }
}
