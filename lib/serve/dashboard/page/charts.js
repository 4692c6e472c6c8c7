// The page's plots, as SVG: each function draws one of them anew into its element.

const SVG = 'http://www.w3.org/2000/svg';
const STEP_WIDTH = 7;

function node(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** A plot's drawing, in the box that the page has for it. */
export function plotIn(box) {
  const svg = node('svg', { role: 'img' });
  box.append(svg);
  return svg;
}

const round = (value) => Math.round(value * 10) / 10;

/** Numbers on an axis from 0 on: at most `most` steps of 1, 2 or 5 times a power of ten. */
export function ticks(top, most) {
  const rough = top / most;
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? 1;
  return Array.from({ length: Math.floor(top / step + 1e-9) + 1 }, (_, i) =>
    Number((i * step).toPrecision(10)),
  );
}

/** Clears a plot and draws its horizontal lines; answers where things go. */
function frame(svg, top, { left = 34, right = 8, above = 10, below = 20, unit = '', rows = 4 } = {}) {
  const { width, height } = svg.getBoundingClientRect();
  svg.setAttribute('viewBox', `0 0 ${Math.max(1, width)} ${Math.max(1, height)}`);
  svg.replaceChildren();
  const y = (value) => height - below - (value / top) * (height - above - below);
  for (const value of ticks(top, rows)) {
    svg.append(
      node('line', {
        class: value === 0 ? 'axis' : 'grid',
        x1: left,
        x2: width - right,
        y1: round(y(value)),
        y2: round(y(value)),
      }),
      node('text', { x: left - 6, y: round(y(value) + 4), 'text-anchor': 'end' }, `${value}${unit}`),
    );
  }
  return { width, height, left, right: width - right, y, base: height - below, labels: height - 5 };
}

function empty(svg, text) {
  const { width, height } = svg.getBoundingClientRect();
  svg.setAttribute('viewBox', `0 0 ${Math.max(1, width)} ${Math.max(1, height)}`);
  svg.replaceChildren(
    node('text', { class: 'empty', x: width / 2, y: height / 2, 'text-anchor': 'middle' }, text),
  );
  svg.setAttribute('aria-label', text);
}

const path = (points) => points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${round(x)} ${round(y)}`).join('');

/** Drafts of the last steps that fit: K as a mark, accepted filled by kind, rejected hollow on top. */
export function drawDepths(svg, steps) {
  if (steps.length === 0) return empty(svg, 'No steps yet');
  const { width } = svg.getBoundingClientRect();
  const shown = steps.slice(-Math.max(1, Math.floor((width - 42) / STEP_WIDTH)));
  // A plan with a stop rule names a K that is hardly ever reached: it must not press the bars down.
  const top = Math.max(4, ...shown.map(({ drafted }) => drafted)) + 0.5;
  const { y, left, base, labels, right } = frame(svg, top, { below: 18 });
  const bars = node('g', { 'aria-label': 'bar' });
  shown.forEach((step, i) => {
    const x = left + i * STEP_WIDTH + 1;
    const rect = (className, from, to) =>
      bars.append(
        node('rect', {
          class: `${className} kind-${step.kind}`,
          x,
          width: STEP_WIDTH - 2,
          y: round(y(to)),
          height: round(y(from) - y(to)),
        }),
      );
    if (step.drafted > step.accepted) rect('rejected', step.accepted, step.drafted);
    if (step.accepted > 0) rect('accepted', 0, step.accepted);
    if (step.depth <= top)
      bars.append(
        node('line', {
          class: 'planned',
          x1: x - 1,
          x2: x + STEP_WIDTH - 1,
          y1: round(y(step.depth)),
          y2: round(y(step.depth)),
        }),
      );
    const isNew = i > 0 && shown[i - 1].request !== step.request;
    if (isNew)
      bars.append(node('line', { class: 'request', x1: x - 1.5, x2: x - 1.5, y1: y(top), y2: base }));
  });
  svg.append(
    bars,
    node('text', { x: left, y: labels }, 'older'),
    node('text', { x: right, y: labels, 'text-anchor': 'end' }, 'now'),
  );
  svg.setAttribute('aria-label', `Drafts of the last ${shown.length} steps, up to ${Math.floor(top)} tokens`);
}

/** Tokens per second over time, with plain decoding's. */
export function drawSpeeds(svg, speeds) {
  if (speeds.length < 2) return empty(svg, 'Nothing generated yet');
  const top =
    1.1 * Math.max(1, ...speeds.map((speed) => Math.max(speed.tokensPerSecond, speed.plainPerSecond ?? 0)));
  const { y, left, right, base, labels } = frame(svg, top, { left: 40 });
  // Time in which nothing ran is left out, for nothing is measured then.
  const x = (i) => left + (i / (speeds.length - 1)) * (right - left);
  const points = speeds.map(({ tokensPerSecond }, i) => [x(i), y(tokensPerSecond)]);
  svg.append(
    node('path', { class: 'area', d: `${path(points)}L${round(right)} ${base}L${left} ${base}Z` }),
    node('g', { 'aria-label': 'line' }, node('path', { class: 'curve', d: path(points) })),
  );
  const plain = speeds.flatMap(({ plainPerSecond }, i) =>
    plainPerSecond === undefined ? [] : [[x(i), y(plainPerSecond)]],
  );
  if (plain.length > 1) svg.append(node('path', { class: 'plain', d: path(plain) }));
  const seconds = Math.round((speeds.at(-1).at - speeds[0].at) / 1000);
  svg.append(
    node('text', { x: left, y: labels }, `${seconds} s ago`),
    node('text', { x: right, y: labels, 'text-anchor': 'end' }, 'now'),
  );
  svg.setAttribute('aria-label', `Tokens per second, now ${speeds.at(-1).tokensPerSecond.toFixed(1)}`);
}

/** Accepted / verified at each place. */
export function drawPlaces(svg, figures) {
  const places = figures?.places ?? [];
  if (places.length === 0) return empty(svg, 'Nothing drafted yet');
  const { y, left, right, labels } = frame(svg, 100, { left: 46, unit: ' %' });
  const wide = (right - left) / places.length;
  const every = Math.ceil(20 / wide);
  const bars = node('g', { 'aria-label': 'bar' });
  places.forEach(([verified, accepted], i) => {
    const share = (100 * accepted) / verified;
    const x = left + i * wide;
    const width = Math.min(wide * 0.72, 46);
    const rect = node('rect', {
      class: 'bar',
      x: round(x + (wide - width) / 2),
      width: round(width),
      y: round(y(share)),
      height: round(y(0) - y(share)),
    });
    rect.append(node('title', {}, `place ${i + 1}: ${accepted} of ${verified}`));
    bars.append(rect);
    if (i % every === 0)
      svg.append(node('text', { x: round(x + wide / 2), y: labels, 'text-anchor': 'middle' }, String(i + 1)));
  });
  svg.append(bars);
  svg.setAttribute('aria-label', `Acceptance by place, ${places.length} places`);
}

/** Milliseconds per token of fixed depths by estimate, and of the steps. */
export function drawFixed(svg, figures) {
  const regret = figures?.regret;
  if (!regret)
    return empty(svg, figures && !figures.costs ? 'Costs are not measured yet' : 'Too few drafts yet');
  const { fixedMs, bestDepth, actualMs } = regret;
  const top = 1.15 * Math.max(actualMs, ...fixedMs);
  const { y, left, right, labels } = frame(svg, top, { left: 40 });
  const wide = (right - left) / fixedMs.length;
  const every = Math.ceil(20 / wide);
  const bars = node('g', { 'aria-label': 'bar' });
  fixedMs.forEach((ms, k) => {
    const x = left + k * wide;
    const rect = node('rect', {
      class: k === bestDepth ? 'bar best' : 'bar',
      x: round(x + wide * 0.14),
      width: round(wide * 0.72),
      y: round(y(ms)),
      height: round(y(0) - y(ms)),
    });
    rect.append(node('title', {}, `K ${k}: ${ms.toFixed(2)} ms per token`));
    bars.append(rect);
    if (k % every === 0)
      svg.append(node('text', { x: round(x + wide / 2), y: labels, 'text-anchor': 'middle' }, String(k)));
  });
  svg.append(
    bars,
    node('line', { class: 'actual', x1: left, x2: right, y1: round(y(actualMs)), y2: round(y(actualMs)) }),
    node(
      'text',
      { class: 'actual-label', 'text-anchor': 'end', x: right - 2, y: round(y(actualMs) - 5) },
      `${actualMs.toFixed(2)} ms`,
    ),
  );
  svg.setAttribute('aria-label', `Milliseconds per token of fixed depths; the best is ${bestDepth}`);
}

/** v(n), with dots where it was measured. */
export function drawCosts(svg, figures) {
  const costs = figures?.costs;
  if (!costs) return empty(svg, 'Costs are not measured yet');
  const { verifyMs, rows } = costs;
  const { y, left, right, labels } = frame(svg, 1.1 * Math.max(...verifyMs), { left: 40 });
  const x = (n) => left + ((n - 1) / Math.max(1, verifyMs.length - 1)) * (right - left);
  svg.append(
    node(
      'g',
      { 'aria-label': 'line' },
      node('path', { class: 'curve', d: path(verifyMs.map((ms, i) => [x(i + 1), y(ms)])) }),
    ),
  );
  for (const n of rows)
    svg.append(node('circle', { class: 'dot', cx: round(x(n)), cy: round(y(verifyMs[n - 1])), r: 3 }));
  for (const n of [1, 9, 17, 25, 33].filter((value) => value <= verifyMs.length))
    svg.append(
      node(
        'text',
        {
          x: round(x(n)),
          y: labels,
          'text-anchor': n === 1 ? 'start' : n === verifyMs.length ? 'end' : 'middle',
        },
        String(n),
      ),
    );
  svg.setAttribute(
    'aria-label',
    `v(n) for 1 to ${verifyMs.length} rows, ${verifyMs[0].toFixed(1)} to ${verifyMs.at(-1).toFixed(1)} ms`,
  );
}
