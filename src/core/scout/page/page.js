'use strict';
// What nodes say is put in as text, never as markup.
const NAMES = ['OK', 'WARNING', 'CRITICAL', 'UNKNOWN'];
const SHORT = ['OK', 'WA', 'CR', 'UN'];
const ROWS = 100;
const KINDS = 200;
const byId = id => document.getElementById(id);
const fleet = new Map(); // node -> {seen, checks: Map(check -> {status, rests, since})}
const others = new Set(); // names of checks beyond those, that were heard since
let kinds = [], more = 0, listing = 0, last = [], number = 0, page = 0, drawing = false, shown = null, heard = true, left = 0;

const token = () => sessionStorage.getItem('token') || '';
const ask = async (path, options = {}) => {
  const headers = {Authorization: `Bearer ${token()}`};
  const answer = await fetch(path, {...options, headers, cache: 'no-store'});
  if (answer.status === 401) { sessionStorage.removeItem('token'); throw new Error('token'); }
  return answer;
};
const element = (name, text, attributes = {}) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};
const age = since => {
  const seconds = Math.max(0, Math.floor(Date.now() / 1000 - since));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
};
const look = one => one.rests ? 'rests' : `s${one.status}`;
const word = one => one.rests ? 'quiet' : NAMES[one.status];
// Most checks say their status themselves.
const said = one => (one.output || '').startsWith(word(one)) ? one.output : `${word(one)} ${one.output || ''}`;
const state = (text, kind) => { byId('state').textContent = text; byId('state').className = `badge ${kind}`; };

const live = () => heard ? state('live', 'good') : state('the broker is not heard: this is how it was', 'bad');
const good = answer => { if (!answer.ok) throw new Error(`${answer.status}`); return answer; };

const whole = async () => {
  const all = await good(await ask('fleet.json')).json();
  fleet.clear();
  kinds = all.checks;
  [more, left, heard] = [all.more, all.left_away, all.connected];
  others.clear();
  for (const [name, seen, checks] of all.nodes) {
    const found = new Map(checks.map(([at, status, rests, since]) => [kinds[at], {status, rests: !!rests, since}]));
    fleet.set(name, {seen, checks: found});
  }
  [number, last] = [all.number, all.last];
  listed();
  drawn();
};
// Once a second at most, however many names are new.
const options = () => {
  if (!listing) listing = setTimeout(() => { listing = 0; listed(); }, 1000);
};
const listed = () => {
  const select = byId('check'), chosen = select.value;
  select.replaceChildren(element('option', 'all', {value: ''}), ...kinds.map(kind => element('option', kind, {value: kind})));
  select.value = chosen;
};
const changed = change => {
  last.unshift(change);
  last.length = Math.min(last.length, 100);
  if ('connected' in change) {
    heard = change.connected;
    live();
    return;
  }
  if (change.life === 'forgotten') fleet.delete(change.node);
  if (change.life) return;
  if (change.gone) {
    fleet.get(change.node)?.checks.delete(change.check);
    return;
  }
  if (!fleet.has(change.node)) fleet.set(change.node, {seen: change.at, checks: new Map()});
  const node = fleet.get(change.node);
  node.seen = change.at;
  if (!kinds.includes(change.check)) {
    if (kinds.length >= KINDS) {
      if (others.size < 1000) others.add(change.check);
      more = Math.max(more, others.size);
      return;
    }
    kinds.push(change.check);
    kinds.sort();
    options();
  }
  node.checks.set(change.check, {status: change.status, rests: change.rests, since: change.since});
};
// A stream of events with a header, which EventSource cannot send.
const events = async () => {
  const answer = good(await ask(`events?after=${number}`));
  live();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split('\n\n');
    text = parts.pop();
    for (const part of parts) {
      if (part.startsWith('event: anew')) { await whole(); return; }
      const lines = Object.fromEntries(part.split('\n').map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]));
      number = Number(lines.id);
      JSON.parse(lines.data).forEach(changed);
    }
    draw();
  }
};
const run = async () => {
  let wait = 500, begun = false;
  for (;;) {
    try {
      if (!begun) { await whole(); begun = true; }
      await events();
      wait = 500;
    } catch (problem) {
      if (problem.message === 'token') { byId('login').hidden = false; state('a token is needed', 'bad'); byId('token').focus(); return; }
      state('not reached, asking again', 'bad');
      await new Promise(done => setTimeout(done, wait));
      wait = Math.min(wait * 2, 15000);
      begun = false;
    }
  }
};

const counts = () => {
  const of = new Map(kinds.map(kind => [kind, {s0: 0, s1: 0, s2: 0, s3: 0, rests: 0}]));
  const all = {s0: 0, s1: 0, s2: 0, s3: 0, rests: 0};
  for (const {checks} of fleet.values()) for (const [kind, one] of checks) { of.get(kind)[look(one)]++; all[look(one)]++; }
  return [of, all];
};
const rank = node => {
  let worst = 0;
  for (const one of node.checks.values()) if (!one.rests) worst = Math.max(worst, [0, 1, 3, 2][one.status]);
  return worst;
};
const wanted = () => {
  const name = byId('name').value.toLowerCase(), kind = byId('check').value, status = byId('status').value;
  const fits = one => status === '' || (status === 'rests' ? one.rests : !one.rests && (status === 'bad' ? one.status > 0 : one.status === Number(status)));
  const found = [];
  for (const [key, node] of fleet) {
    if (name && !key.toLowerCase().includes(name)) continue;
    const checks = kind ? [node.checks.get(kind)].filter(Boolean) : [...node.checks.values()];
    if (checks.some(fits)) found.push([key, node]);
  }
  return found.sort((a, b) => rank(b[1]) - rank(a[1]) || (a[0] < b[0] ? -1 : 1));
};
// At most a few times a second, however much happens.
const draw = () => {
  if (drawing) return;
  drawing = true;
  setTimeout(() => requestAnimationFrame(() => { drawing = false; drawn(); }), 200);
};
const drawn = () => {
  const [of, all] = counts();
  byId('who').textContent = `${fleet.size} nodes`;
  const tile = (key, label, choice) => {
    const made = element('button', undefined, {type: 'button', class: key, 'aria-label': `${all[key]} ${label}: show them`});
    made.append(element('b', all[key]), element('span', label));
    made.onclick = () => { byId('status').value = choice; page = 0; drawn(); byId('nodes').focus(); };
    return made;
  };
  // what has the focus keeps it
  const focused = document.activeElement && document.activeElement.className;
  byId('tiles').replaceChildren(tile('s2', 'critical', '2'), tile('s1', 'warning', '1'), tile('s3', 'unknown', '3'), tile('rests', 'quiet', 'rests'), tile('s0', 'OK', ''));
  if (focused && ['s0', 's1', 's2', 's3', 'rests'].includes(focused) && document.activeElement === document.body) byId('tiles').querySelector(`.${focused}`).focus();
  byId('kinds').tBodies[0].replaceChildren(...[...of].map(([kind, count]) => {
    const row = element('tr');
    row.append(element('th', kind, {scope: 'row'}), ...['s2', 's1', 's3', 'rests', 's0'].map(key => element('td', count[key], {class: 'number'})));
    return row;
  }));
  byId('more').hidden = !more && !left;
  byId('more').textContent = (more ? `${more} more checks, each of few nodes, are not shown. ` : '')
    + (left ? 'Some checks are not known: there are more of a node, or of all, than are kept.' : '');
  byId('last').replaceChildren(...last.map(change => {
    const line = element('li');
    const time = new Date(change.at * 1000).toLocaleTimeString();
    if ('connected' in change) { line.textContent = `${time} the broker is ${change.connected ? 'heard again' : 'not heard'}`; return line; }
    if (change.gone) { line.textContent = `${time} ${change.node} ${change.check} is not heard any more`; return line; }
    if (change.life) { line.textContent = `${time} ${change.node} ${change.life}`; return line; }
    line.append(element('span', undefined, {class: `dot ${look(change)}`, 'aria-hidden': 'true'}), `${time} ${change.node} ${change.check}: ${said(change)}`);
    return line;
  }));
  grid();
};
const grid = () => {
  const found = wanted(), pages = Math.max(1, Math.ceil(found.length / ROWS));
  page = Math.min(page, pages - 1);
  const columns = byId('check').value ? [byId('check').value] : kinds;
  const head = element('tr');
  head.append(element('th', 'Node', {scope: 'col'}), ...columns.map(kind => element('th', kind, {scope: 'col'})));
  byId('grid').tHead.replaceChildren(head);
  const at = document.activeElement && document.activeElement.dataset && document.activeElement.dataset.at;
  byId('grid').tBodies[0].replaceChildren(...found.slice(page * ROWS, page * ROWS + ROWS).map(([name, node]) => {
    const row = element('tr');
    row.append(element('th', name, {scope: 'row'}));
    for (const kind of columns) {
      const cell = element('td'), one = node.checks.get(kind);
      if (one) {
        const made = element('button', one.rests ? '–' : SHORT[one.status], {type: 'button', class: look(one), 'data-at': `${name} ${kind}`,
          'aria-label': `${kind} on ${name}: ${word(one)} for ${age(one.since)}`, title: `${word(one)} for ${age(one.since)}`});
        made.onclick = () => open(name, kind);
        cell.append(made);
      }
      row.append(cell);
    }
    return row;
  }));
  if (at) { const again = byId('grid').querySelector(`[data-at="${CSS.escape(at)}"]`); if (again) again.focus(); }
  byId('grid').hidden = !found.length;
  byId('none').hidden = !!found.length;
  byId('found').textContent = `${found.length} of ${fleet.size} nodes`;
  byId('page').textContent = `Page ${page + 1} of ${pages}`;
  byId('before').disabled = page === 0;
  byId('after').disabled = page >= pages - 1;
};

const open = async (node, check) => {
  shown = [node, check];
  byId('one-said').textContent = '';
  await fill();
  if (!byId('one').open) byId('one').showModal();
};
const fill = async () => {
  const [node, check] = shown;
  const answer = await ask(`check.json?node=${encodeURIComponent(node)}&check=${encodeURIComponent(check)}`);
  if (!answer.ok) { byId('one-said').textContent = await answer.text(); return; }
  const one = await answer.json();
  byId('one-name').textContent = `${check} on ${node}`;
  byId('one-state').textContent = `${word(one)} for ${age(one.since)}; last told of ${age(one.at)} ago; the node was last heard ${age(one.seen)} ago`;
  byId('one-output').textContent = one.output;
  byId('one-history').replaceChildren(...one.history.map(([at, status]) => element('li', SHORT[status], {class: `s${status}`, title: new Date(at * 1000).toLocaleString()})));
  document.querySelectorAll('[data-act]').forEach(button => {
    button.hidden = !one.acts || (button.dataset.act === 'resume') !== one.rests;
  });
};
document.querySelectorAll('[data-act]').forEach(button => button.onclick = async () => {
  const [node, check] = shown;
  byId('one-said').textContent = 'asking the node…';
  const answer = await ask('act', {method: 'POST', body: JSON.stringify({node, check, action: button.dataset.act})});
  byId('one-said').textContent = (await answer.text()).trim();
  setTimeout(fill, 800);
});
byId('close').onclick = () => byId('one').close();
byId('one').onclose = () => { if (!shown) return; const again = byId('grid').querySelector(`[data-at="${CSS.escape(shown.join(' '))}"]`); if (again) again.focus(); };
byId('filters').oninput = () => { page = 0; grid(); };
byId('filters').onsubmit = event => event.preventDefault();
byId('before').onclick = () => { page--; grid(); };
byId('after').onclick = () => { page++; grid(); };
byId('login').onsubmit = event => { event.preventDefault(); sessionStorage.setItem('token', byId('token').value); byId('login').hidden = true; run(); };
// The token comes behind a #, which browsers send nowhere, and does not stay there.
if (location.hash.startsWith('#token=')) {
  sessionStorage.setItem('token', location.hash.slice(7));
  history.replaceState(null, '', location.pathname);
}
run();
