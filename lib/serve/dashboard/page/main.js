// The dashboard: takes the server's events in, and draws what they say.

import { drawCosts, drawDepths, drawFixed, drawPlaces, drawSpeeds, plotIn } from './charts.js';
import { drawRequests } from './requests.js';
import { emptyState, shownRequest, take } from './store.js';
import { Switch } from './switch.js';
import { made, TextView } from './text.js';

const byId = (id) => document.getElementById(id);
const address = (path) => new URL(path, import.meta.url);
const state = emptyState();
const text = new TextView(byId('text'));
const plots = Object.fromEntries(
  ['depths', 'speeds', 'places', 'fixed', 'costs'].map((id) => [id, plotIn(byId(id))]),
);
const controllerSwitch = new Switch(address('controller'));
let isDrawn = true;

connect();
byId('with-rejected').addEventListener('change', ({ target }) =>
  byId('text').classList.toggle('with-rejected', target.checked),
);
new ResizeObserver(draw).observe(document.querySelector('main'));
draw();

/** A browser connects again by itself, but not after a refusal: then we try, ever more rarely. */
function connect(waitMs = 1000) {
  const source = new EventSource(address('events'));
  let next = waitMs;
  for (const event of ['snapshot', 'request', 'steps', 'figures', 'queue', 'policy']) {
    source.addEventListener(event, ({ data }) => {
      next = 1000;
      take(state, event, JSON.parse(data));
      draw();
    });
  }
  source.addEventListener('error', () => {
    state.connection = 'lost';
    draw();
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => connect(Math.min(30_000, 2 * next)), next);
  });
}

/** At most once a frame. A page that isn't looked at draws nothing. */
function draw() {
  if (!isDrawn) return;
  isDrawn = false;
  requestAnimationFrame(() => {
    isDrawn = true;
    const shown = shownRequest(state);
    drawHead();
    drawTiles();
    controllerSwitch.draw(state);
    text.draw(shown, state, greeting);
    drawRequests(byId('requests'), state, shown, (number) => {
      state.chosen = state.chosen === number ? undefined : number;
      draw();
    });
    drawDepths(plots.depths, state.steps);
    drawSpeeds(plots.speeds, state.speeds);
    drawPlaces(plots.places, state.figures);
    drawFixed(plots.fixed, state.figures);
    drawCosts(plots.costs, state.figures);
  });
}

function drawHead() {
  const { model, connection } = state;
  const words = { waiting: 'connecting', live: 'live', lost: 'connection lost, trying again' };
  byId('connection').textContent = words[connection];
  byId('connection').className = connection;
  if (model)
    byId('model').textContent =
      `${model.description}, ${model.threads} threads, ${model.kernels} kernels, context ${model.contextSize}`;
}

function drawTiles() {
  const { figures, queue, steps } = state;
  const last = steps.at(-1);
  const regret = figures?.regret;
  tile(
    'speed',
    figures?.tokensPerSecond.toFixed(1),
    figures?.plainPerSecond && `plain decoding ${figures.plainPerSecond.toFixed(1)}`,
  );
  tile(
    'k',
    last?.drafted,
    figures?.meanDrafted !== undefined && `${figures.meanDrafted.toFixed(1)} on average, K ${last?.depth}`,
  );
  tile('accepted', percent(figures?.acceptance), 'of drafted tokens');
  tile('length', figures?.meanLength?.toFixed(2), 'over 256 steps');
  tile(
    'regret',
    regret && `${regret.share >= 0 ? '+' : '−'}${Math.abs(100 * regret.share).toFixed(1)} %`,
    regret && `against K = ${regret.bestDepth}, by estimate`,
  );
  byId('regret').classList.toggle('good', regret !== undefined && regret.share <= 0);
  tile('queue', queue.running, `${queue.waiting} waiting, ${queue.parallel} at once`);
}

function tile(id, figure, note) {
  byId(id).textContent = figure === undefined ? '–' : String(figure);
  byId(`${id}-note`).textContent = note || '\u00a0';
}

const percent = (share) => (share === undefined ? undefined : `${Math.round(100 * share)} %`);

/** What stands in the text's place before the first request. */
function greeting() {
  const element = made('div', 'hello');
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'Write a haiku.' }], stream: true });
  element.append(
    made('p', '', 'Waiting for a request, such as'),
    made(
      'pre',
      '',
      `curl ${location.origin}/v1/chat/completions \\\n  -H 'content-type: application/json' \\\n  -d '${body}'`,
    ),
  );
  return element;
}
