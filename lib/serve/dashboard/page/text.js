// The text as it is written: a bar for each step, and what of the text was drafted. Model text gets in as text nodes only.

/** Height of the bars' room in pixels, and the K that fills it. */
const BAR_HEIGHT = 20;
const FULL_K = 12;

/** Draws the steps of one request; only new ones, as long as it stays the same. */
export class TextView {
  #element;
  #request;
  #epoch = 0;
  #last = 0;

  constructor(element) {
    this.#element = element;
  }

  draw(request, { steps, epoch }, greeting) {
    const element = this.#element;
    if (request !== this.#request || epoch !== this.#epoch) {
      element.replaceChildren();
      this.#request = request;
      this.#epoch = epoch;
      this.#last = 0;
    }
    if (request === undefined) {
      if (element.childElementCount === 0) element.append(greeting());
      return;
    }
    const mine = steps.filter((step) => step.request === request);
    const fresh = mine.filter(({ step }) => step > this.#last);
    if (fresh.length === 0) return;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
    element.append(...fresh.map(stepElement));
    while (element.childElementCount > mine.length) element.firstElementChild.remove();
    this.#last = fresh.at(-1).step;
    if (atEnd) element.scrollTop = element.scrollHeight;
  }
}

function stepElement(step) {
  const { text, own, rejected, kind, verified, accepted } = step;
  const element = made('span', `step kind-${kind}`);
  element.title = titleOf(step);
  element.append(barOf(step));
  const cut = own < 0 ? text.length : text.length - own;
  const isWrong = accepted < verified;
  if (cut > 0) element.append(made('span', accepted > 0 ? 'taken' : '', text.slice(0, cut)));
  if (rejected !== '') element.append(made('del', '', rejected));
  if (cut < text.length) element.append(made('span', isWrong ? 'corrected' : '', text.slice(cut)));
  return element;
}

function barOf({ depth, drafted, accepted }) {
  const bar = made('span', 'k');
  bar.setAttribute('aria-hidden', 'true');
  const part = (name, tokens) => {
    if (tokens === 0) return;
    const mark = made('i', name);
    mark.style.height = `${(Math.min(tokens, FULL_K) * BAR_HEIGHT) / FULL_K}px`;
    bar.append(mark);
  };
  // A plan with a stop rule names a K that is hardly ever reached.
  if (depth <= FULL_K) part('planned', depth);
  if (drafted > accepted) part('drafted', drafted);
  part('accepted', accepted);
  return bar;
}

function titleOf({ step, depth, drafted, accepted, rejected, kind, ms, drafter, late }) {
  const parts = [`step ${step}, ${kind}: K ${depth}`];
  if (drafted > 0) parts.push(`drafted ${drafted} (${drafter}), accepted ${accepted}`);
  parts.push(`${ms.toFixed(1)} ms`);
  if (late) parts.push('the plan came late');
  if (rejected !== '') parts.push(`rejected: ${JSON.stringify(rejected)}`);
  return parts.join('; ');
}

export function made(tag, className = '', text = undefined) {
  const element = document.createElement(tag);
  if (className !== '') element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
