// The keyboard. A key is looked up by what it writes, and where that is no Latin letter (Hangul, an
// input method) by where it is.

const BY_PLACE = /^(?:Key([A-Z])|Digit(\d))$/;

export function nameOf(event) {
  let { key } = event;
  if (key.length > 1 ? key === 'Process' : key > '~') {
    const place = BY_PLACE.exec(event.code);
    if (place) key = place[1] ?? place[2];
  }
  const letter = key.length === 1 ? key.toLowerCase() : key;
  const held = [];
  if (event.ctrlKey || event.metaKey) held.push('Ctrl');
  if (event.altKey) held.push('Alt');
  if (event.shiftKey && (key.length > 1 || /[a-z ]/i.test(key))) held.push('Shift');
  return [...held, letter === ' ' ? 'Space' : letter].join('+');
}

const REPEATS = /^(?:Arrow\w+|[[\]+=-]|Backspace|Ctrl\+.*)$/;

function writes(target) {
  return target.closest('input:not([type=radio], [type=checkbox], [type=range]), select, textarea');
}

// `actions` maps names of keys to functions; one that returns false leaves the key to the browser.
export function bindKeys(actions, { before = () => false } = {}) {
  window.addEventListener('keydown', (event) => {
    if (event.isComposing || document.querySelector('dialog[open]')) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (writes(target)) return;
    const name = nameOf(event);
    const presses = target.closest('button, summary, input, a');
    if (presses && ['Enter', 'Space'].includes(name)) return;
    if (target.closest('input') && name.startsWith('Arrow')) return;
    if (before(name)) return void event.preventDefault();
    const action = actions[name];
    // A key that is held down goes on with what is harmless to repeat.
    if (action && event.repeat && !REPEATS.test(name)) return void event.preventDefault();
    if (action && action(event) !== false) event.preventDefault();
  });
}
