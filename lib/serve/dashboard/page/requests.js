// The list of requests: what runs, what has ended, and which one's text is shown.

import { made } from './text.js';

export function drawRequests(element, { requests }, shown, choose) {
  if (requests.length === 0) {
    element.replaceChildren(made('p', '', 'None yet.'));
    return;
  }
  // A button that is drawn anew would lose the focus, and a click in the middle of it.
  const buttons = new Map(
    [...element.querySelectorAll('button')].map((button) => [button.dataset.number, button]),
  );
  const wanted = [...requests].reverse().map((request) => {
    const button = buttons.get(String(request.number)) ?? newButton(request.number, choose);
    button.setAttribute('aria-pressed', String(request.number === shown));
    fill(button, request);
    return button;
  });
  if (wanted.some((button, i) => element.children[i] !== button) || element.children.length !== wanted.length)
    element.replaceChildren(...wanted);
}

function newButton(number, choose) {
  const button = made('button');
  button.type = 'button';
  button.dataset.number = String(number);
  button.append(made('span', 'what'), made('span', 'end'), made('span', 'more'));
  button.addEventListener('click', () => choose(number));
  return button;
}

function fill(button, { number, endpoint, controller, depth, promptTokens, tokens, maxTokens, ms, end }) {
  const [what, state, more] = button.children;
  what.textContent = `${number} ${endpoint} by ${controller}${depth === undefined ? '' : ` ${depth}`}`;
  state.textContent = end ?? 'running';
  state.className = end === undefined ? 'running' : 'end';
  const speed = ms > 0 && tokens > 0 ? `, ${((1000 * tokens) / ms).toFixed(1)} t/s` : '';
  more.textContent = `${tokens} of ${maxTokens} tokens${speed}; prompt ${promptTokens}`;
}
