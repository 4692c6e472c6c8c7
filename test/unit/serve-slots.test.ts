// The queue before the engine: order, limits, and slots that are given back once.
import { describe, expect, it } from 'vitest';
import { Slots } from '../../lib/serve/slots.js';

function slots(count: number, queue: number) {
  const seen: [number, number][] = [];
  const made = new Slots(count, queue, (running, waiting) => seen.push([running, waiting]));
  return { made, now: () => seen.at(-1) };
}
/** A signal that never comes; one for each, as listeners are counted. */
const never = () => new AbortController().signal;

describe('slots', () => {
  it('are given in the order of asking', async () => {
    const { made } = slots(1, 100);
    const order: number[] = [];
    const hold = await made.take(never());
    const all = Array.from({ length: 100 }, async (_, i) => {
      const release = await made.take(never());
      order.push(i);
      release();
    });
    hold();
    await Promise.all(all);
    expect(order).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it('go to who waits, not to who comes when one is free', async () => {
    const { made } = slots(1, 2);
    const order: string[] = [];
    const hold = await made.take(never());
    const waits = made.take(never()).then((release) => {
      order.push('waited');
      release();
    });
    hold();
    const comes = made.take(never()).then((release) => {
      order.push('came');
      release();
    });
    await Promise.all([waits, comes]);
    expect(order).toEqual(['waited', 'came']);
  });

  it('count once, however often they are given back', async () => {
    const { made, now } = slots(2, 0);
    const [a, b] = [await made.take(never()), await made.take(never())];
    a();
    a();
    a();
    expect(now()).toEqual([1, 0]);
    const c = await made.take(never());
    await expect(made.take(never())).rejects.toMatchObject({ status: 503 });
    b();
    c();
    expect(now()).toEqual([0, 0]);
  });

  it('count those who were let in before, and have not asked yet', async () => {
    const { made } = slots(2, 1);
    expect(() => made.mustHaveRoom(2)).not.toThrow();
    expect(() => made.mustHaveRoom(3)).toThrow('(running: 0, waiting: 3)');
    await made.take(never());
    expect(() => made.mustHaveRoom(1)).not.toThrow();
    expect(() => made.mustHaveRoom(2)).toThrow(expect.objectContaining({ status: 503 }));
  });

  it('are not waited for by who has left', async () => {
    const { made, now } = slots(1, 2);
    const hold = await made.take(never());
    const leaving = new AbortController();
    const left = made.take(leaving.signal);
    expect(now()).toEqual([1, 1]);
    leaving.abort('gone');
    await expect(left).rejects.toBe('gone');
    expect(now()).toEqual([1, 0]);
    hold();
    expect(now()).toEqual([0, 0]);
    await expect(made.take(leaving.signal)).rejects.toBe('gone');
    expect(now()).toEqual([0, 0]);
  });

  it('are taken back by who leaves in the moment that it is served', async () => {
    const { made, now } = slots(1, 2);
    const hold = await made.take(never());
    const leaving = new AbortController();
    const served = made.take(leaving.signal);
    hold();
    leaving.abort('gone');
    (await served)();
    expect(now()).toEqual([0, 0]);
  });

  it('are refused when the queue closes, which ends with the last that runs', async () => {
    const { made } = slots(1, 5);
    const hold = await made.take(never());
    const waiting = made.take(never());
    let closed = false;
    const closing = made.close().then(() => {
      closed = true;
    });
    await expect(waiting).rejects.toMatchObject({ body: { error: { code: 'SHUTTING_DOWN' } } });
    await expect(made.take(never())).rejects.toMatchObject({ body: { error: { code: 'SHUTTING_DOWN' } } });
    expect(closed).toBe(false);
    hold();
    await closing;
  });
});
