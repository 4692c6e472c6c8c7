// What the page knows: the server's events taken in, one after the other. No part of a page is needed to run this.

/** As many as the server keeps for a page that is opened later. */
const MOST_STEPS = 500;
const MOST_REQUESTS = 12;
const MOST_SPEEDS = 240;

export function emptyState() {
  return {
    connection: 'waiting',
    model: undefined,
    policy: undefined,
    controllers: [],
    queue: { running: 0, waiting: 0, parallel: 1 },
    requests: [],
    steps: [],
    speeds: [],
    figures: undefined,
    /** The request that was clicked; undefined follows the newest. */
    chosen: undefined,
    /** Counts snapshots: behind one, the same number may be another request. */
    epoch: 0,
  };
}

/** Takes an event of the server in. */
export function take(state, event, data) {
  switch (event) {
    case 'snapshot':
      Object.assign(state, { figures: undefined, chosen: undefined }, data);
      state.connection = 'live';
      state.epoch++;
      break;
    case 'request': {
      const known = state.requests.findIndex(({ number }) => number === data.number);
      if (known >= 0) state.requests[known] = data;
      else state.requests.push(data);
      state.requests = state.requests.slice(-MOST_REQUESTS);
      break;
    }
    case 'steps':
      state.steps = [...state.steps, ...data].slice(-MOST_STEPS);
      for (const step of data) {
        const request = state.requests.find(({ number }) => number === step.request);
        if (!request) continue;
        request.ms += step.ms;
        request.tokens += step.accepted + 1;
      }
      break;
    case 'figures':
      state.figures = data;
      state.speeds = [...state.speeds, data].slice(-MOST_SPEEDS);
      break;
    case 'queue':
      state.queue = { ...state.queue, ...data };
      break;
    case 'policy':
      state.policy = data;
      break;
  }
}

/** Number of the request whose text is shown: the one that was clicked, else the newest that runs, else the newest. */
export function shownRequest({ requests, chosen }) {
  if (requests.some(({ number }) => number === chosen)) return chosen;
  const running = requests.filter(({ end }) => end === undefined);
  return (running.at(-1) ?? requests.at(-1))?.number;
}
