// Help and export.

import { t } from './words.js';

// Rows of keys, by group: [keys, word].
const KEYS = {
  help_decide: [
    ['Enter', 'done'], ['A', 'accept'], ['R', 'reject'], ['N', 'next_open'], ['→ ↓', 'next'],
    ['← ↑', 'previous'], ['S', 'toggle_support'],
  ],
  help_draw: [
    ['P', 'polygon'], ['B', 'brush'], ['E', 'eraser'], ['T', 'rectangle'], ['F', 'fill'],
    ['H', 'hand'], ['1 – 9', 'choose_class'], ['[ ]', 'brush_size'], ['Ctrl Z', 'undo'],
    ['Ctrl Shift Z', 'redo'], ['Enter', 'close_polygon'], ['Backspace', 'last_point'],
    ['Esc', 'drop_polygon'],
  ],
  help_look: [
    ['+ −', 'zoom'], ['0', 'fit'], ['Space', 'space_pan'], ['M', 'hide_mask'], ['O', 'opacity_step'],
  ],
  help_more: [
    ['U', 'undo_found'], ['Shift U', 'redo_found'], ['X', 'export'], ['?', 'help'],
    ['K', 'key_cross'],
  ],
};

export function fillHelp(place) {
  const parts = Object.entries(KEYS).map(([group, rows]) => {
    const section = document.createElement('section');
    section.append(Object.assign(document.createElement('h3'), { textContent: t(group) }));
    const list = document.createElement('dl');
    for (const [keys, word] of rows) {
      const term = document.createElement('dt');
      keys.split(' ').forEach((key) => {
        term.append(Object.assign(document.createElement(key === '–' ? 'span' : 'kbd'), {
          textContent: key,
        }), ' ');
      });
      list.append(term, Object.assign(document.createElement('dd'), { textContent: t(word) }));
    }
    section.append(list);
    return section;
  });
  place.replaceChildren(...parts);
}

export function fillFormats(place, formats) {
  if (place.children.length === formats.length) return;
  const rows = formats.map((format, i) => {
    const row = document.createElement('label');
    const box = Object.assign(document.createElement('input'), {
      type: 'checkbox', name: 'format', value: format, checked: i === 0,
    });
    const words = document.createElement('span');
    words.append(
      Object.assign(document.createElement('b'), { textContent: t(`format_${format}`, {}, format) }),
      Object.assign(document.createElement('small'), { textContent: t(`about_${format}`, {}, '') }),
    );
    row.append(box, words);
    return row;
  });
  place.replaceChildren(...rows);
}
