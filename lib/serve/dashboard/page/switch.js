// The switch of the controller that new requests get.

export class Switch {
  #select = document.getElementById('controller');
  #depth = document.getElementById('depth');
  #ofDepth = document.querySelectorAll('.of-depth');
  #output = document.getElementById('switched');
  #shown = '';

  constructor(address) {
    this.#select.addEventListener('change', () => this.#showDepth());
    document.getElementById('switch').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send(address);
    });
  }

  /** Shows what the server says. What is being chosen at the moment is left alone. */
  draw({ controllers, policy, model }) {
    if (!policy || !model) return;
    const key = JSON.stringify([policy, controllers.length]);
    if (key === this.#shown) return;
    this.#shown = key;
    const names = controllers.map(({ name, summary }) => [name, summary]);
    // A controller of the server's owner has a name that nobody can ask for.
    if (!controllers.some(({ name }) => name === policy.controller)) names.unshift([policy.controller, '']);
    this.#select.replaceChildren(
      ...names.map(([name, summary]) => {
        const option = document.createElement('option');
        option.value = name;
        option.textContent = name;
        option.title = summary;
        return option;
      }),
    );
    this.#select.value = policy.controller;
    this.#depth.max = String(model.maxDepth);
    if (policy.depth !== undefined) this.#depth.value = String(policy.depth);
    this.#showDepth();
  }

  #showDepth() {
    for (const part of this.#ofDepth) part.classList.toggle('hidden', this.#select.value !== 'fixed');
  }

  async #send(address) {
    const controller = this.#select.value;
    const body = controller === 'fixed' ? { controller, depth: Number(this.#depth.value) } : { controller };
    try {
      const response = await fetch(address, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      const answer = await response.json();
      if (response.ok)
        this.#say(
          `${answer.controller}${answer.depth === null ? '' : ` ${answer.depth}`}, from the next request on`,
        );
      else this.#say(answer.error?.message ?? `HTTP ${response.status}`, true);
    } catch {
      this.#say("the server can't be reached", true);
    }
  }

  #say(text, isWrong = false) {
    this.#output.textContent = text;
    this.#output.classList.toggle('wrong', isWrong);
  }
}
