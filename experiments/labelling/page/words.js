// What the page says, in English and Korean.

const EN = {
  title: 'HSNet labels', skip: 'To the picture', language: 'Language',
  pictures: 'Pictures', picture: 'Picture', filter: 'Show', order: 'Order', tools: 'Tools',
  state_all: 'All', state_drawn: 'Drawn', state_found: 'Found', state_absent: 'Absent',
  state_accepted: 'Accepted', state_rejected: 'Rejected', state_waiting: 'Waiting',
  order_name: 'By name', order_uncertain: 'Least certain first',
  mark_drawn: '✎ drawn', mark_found: '◌ found', mark_unsure: '? unsure', mark_absent: '∅ absent',
  mark_accepted: '✓ accepted', mark_rejected: '✗ rejected', mark_waiting: '· waiting',
  mark_problem: '! problem', mark_support: '★ example',
  none_here: 'No picture here.',
  polygon: 'Polygon', brush: 'Brush', eraser: 'Eraser', rectangle: 'Rectangle', fill: 'Fill',
  hand: 'Move', brush_size: 'Brush size', opacity: 'Opacity', undo: 'Undo', redo: 'Redo',
  zoom: 'Zoom', zoom_in: 'Zoom in', zoom_out: 'Zoom out', fit: 'Whole picture',
  tip_polygon: 'Click round the thing; click the first point or press Enter to close.',
  tip_brush: 'Paint over the thing.', tip_eraser: 'Wipe what is wrong.',
  tip_rectangle: 'Drag from corner to corner.', tip_fill: 'Click into an outline to fill it.',
  tip_hand: 'Drag to move the picture.',
  previous: 'Previous', next: 'Next', next_open: 'Next undecided', reject: 'Reject',
  accept: 'Accept', done: 'Done: use as example',
  tip_done: 'Saves the outline; all other pictures are segmented by it',
  classes: 'Classes', add_class: 'Add', new_class: 'New class', draw_with: 'Draw {name}, key {number}',
  color_of: 'Color of {name}', name_of: 'Name of class {number}', choose_class: 'Class to draw',
  about: 'This picture', size: 'Size', state: 'State', confidence: 'Confidence', area: 'Area',
  toggle_support: 'Use as example', back_to_found: 'Drop the drawing', decision: 'Decision',
  dropped: 'The drawing is dropped.', sure_drop: 'Drop what was drawn in this picture?',
  propagation: 'Segmentation', again: 'Segment again', undo_found: 'Undo segmentation',
  redo_found: 'Redo segmentation',
  progress: '{done} of {total}', progress_left: '{done} of {total}, about {left} left',
  idle: '{drawn} drawn, {found} found, {absent} absent, {accepted} accepted', seconds: '{n} s', minutes: '{n} min',
  export: 'Export', export_what: 'Which pictures', what_accepted: 'Accepted and drawn',
  what_all: 'All but rejected', formats: 'Formats', exporting: 'Writing …',
  exported: '{files} files are in {folder}', cancel: 'Cancel', close: 'Close', choose_format: 'Choose a format.',
  format_png: 'PNG', about_png: 'a label a picture, exact', format_coco: 'COCO', about_coco: 'one JSON, run lengths and polygons',
  format_labelme: 'LabelMe', about_labelme: 'JSON polygons', format_yolo: 'YOLO', about_yolo: 'segmentation polygons',
  format_voc: 'VOC', about_voc: 'SegmentationClass with colors', format_folder: 'Folder', about_folder: 'a benchmark that train trains on',
  help: 'Help and keys', help_decide: 'Decide', help_draw: 'Draw', help_look: 'Look', help_more: 'More',
  help_start: 'Outline the thing in one picture and press Enter. The others are segmented; accept what is right, correct what is wrong and press Enter again.',
  close_polygon: 'Close the polygon', last_point: 'Take a point back', drop_polygon: 'Drop the polygon',
  space_pan: 'Hold to move the picture', hide_mask: 'Hide or show the mask', opacity_step: 'Change opacity',
  key_cross: 'Draw by keys: arrows move the cross, Space presses',
  cross_on: 'Arrows move the cross, Space presses, K ends.', cross_off: 'Arrows change the picture.',
  loading: 'Loading …', saved: 'Saved', saving: 'Saving …',
  offline: 'Not saved yet: the server does not answer. It is kept in this browser.',
  unkept: 'Not saved yet, and this browser has no room to keep it: leave the page open until it is.',
  refused: 'Not saved yet: the server was started anew. Open the address that it printed.',
  held: 'Not saved yet: choose which version stays.',
  gone: 'The server does not answer. Trying again …',
  nothing_drawn: 'Nothing is outlined yet.', nothing_to_accept: 'There is nothing to accept yet.',
  said_done: '{name} is an example now; the others follow.', said_accepted: '{name}: accepted.',
  said_rejected: '{name}: rejected.', said_open: '{name}, {state}.', said_undone: 'Undone.',
  said_redone: 'Done again.', said_nothing: 'Nothing to undo.', said_found_undone: 'The segmentation before is back.',
  said_found_redone: 'The later segmentation is back.', said_class: 'Drawing {name}.',
  said_tool: '{tool}. {tip}', last: 'That was the last one.', first: 'That is the first one.',
  said_changed: '{name} was changed in another browser.', said_support: '{name} is an example.',
  said_no_support: '{name} is no example any more.', said_shown: 'The mask is shown.', said_hidden: 'The mask is hidden.',
  conflict_file: 'The file of {name} has changed since you drew on it.',
  conflict: 'Another browser has drawn in {name} meanwhile.', mine: 'Mine', theirs: 'Theirs', look_at: 'Look at',
  keep_mine: 'Keep mine', take_theirs: 'Take theirs', failed: '{name}: {message}', unknown: 'The server refused it.',
  yes: 'Yes', background: 'background',
};

const KO = {
  title: 'HSNet 라벨', skip: '사진으로 건너뛰기', language: '언어',
  pictures: '사진 목록', picture: '사진', filter: '보기', order: '순서', tools: '도구',
  state_all: '전체', state_drawn: '그린 것', state_found: '찾은 것', state_absent: '없음',
  state_accepted: '승인', state_rejected: '거절', state_waiting: '대기',
  order_name: '이름순', order_uncertain: '불확실한 것부터',
  mark_drawn: '✎ 그림', mark_found: '◌ 찾음', mark_unsure: '? 불확실', mark_absent: '∅ 없음',
  mark_accepted: '✓ 승인', mark_rejected: '✗ 거절', mark_waiting: '· 대기',
  mark_problem: '! 문제', mark_support: '★ 예시',
  none_here: '해당하는 사진이 없습니다.',
  polygon: '다각형', brush: '붓', eraser: '지우개', rectangle: '사각형', fill: '채우기',
  hand: '이동', brush_size: '붓 크기', opacity: '불투명도', undo: '실행 취소', redo: '다시 실행',
  zoom: '확대·축소', zoom_in: '확대', zoom_out: '축소', fit: '사진 전체',
  tip_polygon: '대상을 따라 클릭하고, 첫 점을 클릭하거나 Enter를 눌러 닫으세요.',
  tip_brush: '대상 위를 칠하세요.', tip_eraser: '틀린 곳을 지우세요.',
  tip_rectangle: '모서리에서 모서리로 끄세요.', tip_fill: '윤곽 안을 클릭하면 채워집니다.',
  tip_hand: '끌어서 사진을 움직이세요.',
  previous: '이전', next: '다음', next_open: '다음 미결정', reject: '거절',
  accept: '승인', done: '완료: 예시로 사용',
  tip_done: '윤곽을 저장하고, 이를 예시로 나머지 사진을 모두 분할합니다',
  classes: '클래스', add_class: '추가', new_class: '새 클래스', draw_with: '{name} 그리기, {number}번 키',
  color_of: '{name}의 색', name_of: '{number}번 클래스 이름', choose_class: '그릴 클래스',
  about: '이 사진', size: '크기', state: '상태', confidence: '확신도', area: '넓이',
  toggle_support: '예시로 사용', back_to_found: '그린 것 버리기', decision: '결정',
  dropped: '그린 것을 버렸습니다.', sure_drop: '이 사진에 그린 것을 버릴까요?',
  propagation: '분할', again: '다시 분할', undo_found: '분할 취소',
  redo_found: '분할 되살리기',
  progress: '{total}장 중 {done}장', progress_left: '{total}장 중 {done}장, 약 {left} 남음',
  idle: '그림 {drawn}, 찾음 {found}, 없음 {absent}, 승인 {accepted}', seconds: '{n}초', minutes: '{n}분',
  export: '내보내기', export_what: '내보낼 사진', what_accepted: '승인했거나 그린 사진',
  what_all: '거절한 것 외 전부', formats: '형식', exporting: '쓰는 중 …',
  exported: '파일 {files}개를 {folder}에 썼습니다', cancel: '취소', close: '닫기', choose_format: '형식을 고르세요.',
  format_png: 'PNG', about_png: '사진마다 라벨 하나, 픽셀 그대로', format_coco: 'COCO', about_coco: 'JSON 하나, RLE와 다각형',
  format_labelme: 'LabelMe', about_labelme: 'JSON 다각형', format_yolo: 'YOLO', about_yolo: '분할 다각형',
  format_voc: 'VOC', about_voc: '색이 있는 SegmentationClass', format_folder: '폴더', about_folder: 'train으로 학습하는 벤치마크',
  help: '도움말과 단축키', help_decide: '결정', help_draw: '그리기', help_look: '보기', help_more: '그 밖에',
  help_start: '사진 한 장에서 대상의 윤곽을 그리고 Enter를 누르세요. 나머지 사진이 분할됩니다. 맞으면 승인하고, 틀리면 고친 뒤 다시 Enter를 누르세요.',
  close_polygon: '다각형 닫기', last_point: '마지막 점 취소', drop_polygon: '다각형 버리기',
  space_pan: '누른 채 사진 이동', hide_mask: '마스크 숨기기·보이기', opacity_step: '불투명도 바꾸기',
  key_cross: '키보드로 그리기: 화살표로 십자를 움직이고 Space로 누름',
  cross_on: '화살표로 십자를 움직이고, Space로 누르고, K로 끝냅니다.', cross_off: '화살표로 사진을 넘깁니다.',
  loading: '불러오는 중 …', saved: '저장됨', saving: '저장 중 …',
  offline: '아직 저장되지 않음: 서버가 응답하지 않습니다. 이 브라우저에 보관 중입니다.',
  unkept: '아직 저장되지 않았고 이 브라우저에 보관할 자리도 없습니다. 저장될 때까지 페이지를 열어 두세요.',
  refused: '아직 저장되지 않음: 서버가 새로 시작되었습니다. 서버가 알려 준 주소를 여세요.',
  held: '아직 저장되지 않음: 남길 것을 고르세요.',
  gone: '서버가 응답하지 않습니다. 다시 시도하는 중 …',
  nothing_drawn: '아직 그린 것이 없습니다.', nothing_to_accept: '아직 승인할 것이 없습니다.',
  said_done: '{name}: 예시가 되었습니다. 나머지가 뒤따릅니다.', said_accepted: '{name}: 승인했습니다.',
  said_rejected: '{name}: 거절했습니다.', said_open: '{name}, {state}.', said_undone: '취소했습니다.',
  said_redone: '다시 실행했습니다.', said_nothing: '취소할 것이 없습니다.', said_found_undone: '이전 분할로 돌아갔습니다.',
  said_found_redone: '나중 분할로 돌아갔습니다.', said_class: '{name} 그리기.',
  said_tool: '{tool}. {tip}', last: '마지막 사진입니다.', first: '첫 사진입니다.',
  said_changed: '다른 브라우저에서 {name}이(가) 바뀌었습니다.', said_support: '{name}: 예시로 씁니다.',
  said_no_support: '{name}: 더는 예시가 아닙니다.', said_shown: '마스크를 보입니다.', said_hidden: '마스크를 숨겼습니다.',
  conflict_file: '그린 뒤에 {name} 파일이 바뀌었습니다.',
  conflict: '그사이 다른 브라우저에서 {name}에 그렸습니다.', mine: '내 것', theirs: '상대 것', look_at: '보기',
  keep_mine: '내 것 유지', take_theirs: '상대 것 사용', failed: '{name}: {message}', unknown: '서버가 거절했습니다.',
  yes: '예', background: '배경',
};

export const WORDS = { en: EN, ko: KO };
const KEPT = 'hsnet language';

let language = 'en';

export function firstLanguage() {
  let kept = null;
  try {
    kept = localStorage.getItem(KEPT);
  } catch {
    // No storage: the browser's own language.
  }
  return kept in WORDS ? kept : navigator.language.startsWith('ko') ? 'ko' : 'en';
}

export function setLanguage(code) {
  language = code;
  document.documentElement.lang = code;
  try {
    localStorage.setItem(KEPT, code);
  } catch {
    // Remembered for as long as the page is open.
  }
  for (const element of document.querySelectorAll('[data-word]')) {
    element.textContent = t(element.dataset.word);
  }
  for (const element of document.querySelectorAll('[data-name]')) {
    const keys = element.dataset.keys ? ` (${element.dataset.keys})` : '';
    const tip = element.dataset.tip ? `. ${t(element.dataset.tip)}` : '';
    element.setAttribute('aria-label', t(element.dataset.name));
    if (element.id === 'new-class') element.placeholder = t(element.dataset.name);
    if (!element.matches('section, nav, [role=group], [role=toolbar], [role=listbox], #stage')) {
      element.title = t(element.dataset.name) + keys + tip;
    }
  }
  document.title = t('title');
}

// A sentence with its values; `other` where there is no such word.
export function t(word, values = {}, other = word) {
  const text = WORDS[language][word] ?? other;
  return text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}
