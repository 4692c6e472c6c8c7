// What `/metrics` says, and when.
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { createServer, type Server } from '../../lib/serve/index.js';
import { checkServerOptions } from '../../lib/serve/options.js';
import { FakeEngine } from './fake-engine.js';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

function serve() {
  const engine = new FakeEngine();
  const server = createServer(engine);
  servers.push(server);
  const headers = { host: 'localhost' };
  const complete = (body: object) =>
    server.app.inject({
      method: 'POST',
      url: '/v1/completions',
      headers,
      payload: { prompt: 'a b', ...body },
    });
  const read = async (): Promise<Record<string, number>> => {
    const { body, statusCode, headers: sent } = await server.app.inject({ url: '/metrics', headers });
    expect(statusCode).toBe(200);
    expect(sent['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    const samples = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    // Every sample belongs to a metric that is described.
    for (const line of samples) {
      const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*/.exec(line)![0].replace(/_(bucket|sum|count)$/, '');
      expect(body).toContain(`# TYPE ${name} `);
      expect(body).toContain(`# HELP ${name} `);
    }
    return Object.fromEntries(
      samples.map((line) => [
        line.slice(0, line.lastIndexOf(' ')),
        Number(line.slice(line.lastIndexOf(' '))),
      ]),
    );
  };
  return { engine, server, complete, read };
}

describe('/metrics', () => {
  it('has the names of llama.cpp, vLLM and the experiment from the start, at zero', async () => {
    const { read } = serve();
    const metrics = await read();
    for (const name of [
      'spec_decode_num_drafts_total',
      'spec_decode_num_draft_tokens_total',
      'spec_decode_num_accepted_tokens_total',
    ]) {
      expect(metrics[`llamacpp:${name}`]).toBe(0);
      expect(metrics[`vllm:${name}{model_name="fake-model"}`]).toBe(0);
    }
    for (const name of [
      'draft_accepted_total',
      'draft_drafted_total',
      'prompt_tokens_total',
      'tokens_predicted_total',
      'prompt_seconds_total',
      'tokens_predicted_seconds_total',
      'n_decode_total',
      'requests_processing',
      'requests_deferred',
      'n_busy_slots_per_decode',
      'n_tokens_max',
      'prompt_tokens_seconds',
      'predicted_tokens_seconds',
    ]) {
      expect(metrics[`llamacpp:${name}`], name).toBe(0);
    }
    expect(metrics['vllm:num_requests_running{model_name="fake-model"}']).toBe(0);
    expect(metrics['vllm:num_requests_waiting{model_name="fake-model"}']).toBe(0);
    expect(metrics['adaptive_spec_default_controller_info{controller="auto",depth=""}']).toBe(1);
  });

  it('moves at every step, not at the end of a request', async () => {
    const { engine, complete, read } = serve();
    engine.automatic = false;
    const answer = complete({});
    while (engine.runs.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const seen = [];
    for (let i = 0; i < 3; i++) {
      engine.runs[0]!.step();
      const metrics = await read();
      seen.push([metrics['llamacpp:tokens_predicted_total'], metrics['llamacpp:draft_drafted_total']]);
      expect(metrics['llamacpp:requests_processing']).toBe(1);
    }
    expect(seen).toEqual([
      [1, 0],
      [2, 2],
      [3, 2],
    ]);
    expect(
      (await read())['vllm:request_success_total{model_name="fake-model",finished_reason="stop"}'],
    ).toBeUndefined();
    engine.runs[0]!.finish();
    await answer;
    expect((await read())['vllm:request_success_total{model_name="fake-model",finished_reason="stop"}']).toBe(
      1,
    );
  });

  it('counts a prompt when it has been read, not at the end of its request', async () => {
    const { engine, complete, read } = serve();
    engine.automatic = false;
    engine.reused = 1;
    const answer = complete({ prompt: 'a b c d' });
    while (engine.runs.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const counted = async () => {
      const metrics = await read();
      return [
        'llamacpp:prompt_tokens_total',
        'llamacpp:prompt_tokens_cached_total',
        'llamacpp:prompt_tokens_seconds',
        ...['prompt_tokens', 'prefix_cache_queries', 'prefix_cache_hits'].map(
          (name) => `vllm:${name}_total{model_name="fake-model"}`,
        ),
      ].map((name) => metrics[name]);
    };
    engine.runs[0]!.step();
    const read4of5 = [4, 1, 800, 5, 5, 1];
    expect(await counted()).toEqual(read4of5);
    engine.runs[0]!.finish();
    expect((await answer).json().usage.prompt_tokens_details.cached_tokens).toBe(1);
    expect(await counted()).toEqual(read4of5);
  });

  it("counts a controller's plans, their time and its errors as they come, and not at the request's end", async () => {
    const { engine, complete, read } = serve();
    engine.automatic = false;
    const answer = complete({ max_tokens: 2 });
    while (engine.runs.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const counted = async () => {
      const metrics = await read();
      return ['plans', 'seconds', 'errors'].map(
        (name) => metrics[`adaptive_spec_controller_${name}_total{controller="auto"}`],
      );
    };
    engine.runs[0]!.step();
    expect(await counted()).toEqual([1, 0.0005, 0]);
    engine.runs[0]!.finish();
    await answer;
    expect(await counted()).toEqual([2, 0.001, 0]);
  });

  it('adds up to what the replies said', async () => {
    const { complete, read } = serve();
    const replies = [];
    for (const max_tokens of [1, 2, 3, 4]) replies.push((await complete({ max_tokens })).json());
    const sum = (pick: (reply: (typeof replies)[number]) => number) =>
      replies.reduce((total, reply) => total + (pick(reply) ?? 0), 0);
    const metrics = await read();
    const drafted = sum(({ timings }) => timings.draft_n);
    const accepted = sum(({ timings }) => timings.draft_n_accepted);
    expect(drafted).toBeGreaterThan(0);
    expect(metrics['llamacpp:draft_drafted_total']).toBe(drafted);
    expect(metrics['llamacpp:draft_accepted_total']).toBe(accepted);
    expect(metrics['llamacpp:prompt_tokens_total']).toBe(sum(({ usage }) => usage.prompt_tokens));
    expect(metrics['llamacpp:tokens_predicted_total']).toBe(sum(({ usage }) => usage.completion_tokens));
    const perPlace = Object.entries(metrics).filter(([name]) =>
      name.startsWith('llamacpp:spec_decode_num_accepted_tokens_per_pos_total'),
    );
    expect(perPlace.reduce((total, [, value]) => total + value, 0)).toBe(accepted);
    expect(metrics.adaptive_spec_draft_depth_count).toBe(sum(({ usage }) => usage.completion_tokens));
    expect(metrics.adaptive_spec_accepted_length_sum).toBe(accepted);
    expect(metrics['adaptive_spec_step_seconds_count{phase="verify"}']).toBe(10);
    expect(metrics['adaptive_spec_controller_plans_total{controller="auto"}']).toBe(10);
  });

  it('has no metric that docs/server.md leaves out, and the other way round', async () => {
    const { complete, server } = serve();
    await complete({});
    await complete({ n: 5 });
    const { body } = await server.app.inject({ url: '/metrics', headers: { host: 'localhost' } });
    const made = [...body.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name!);
    const page = readFileSync('docs/server.md', 'utf8');
    const section = page.slice(page.indexOf('## /metrics'), page.indexOf('## From code'));
    const told = [...section.matchAll(/`((?:llamacpp:|vllm:|adaptive_spec_)[a-z_0-9]+)`/g)].map(
      ([, name]) => name!,
    );
    expect(told.sort()).toEqual(made.sort());
  });

  it('has every metric that the queries of docs/server.md ask for', async () => {
    const { read } = serve();
    const names = Object.keys(await read()).map((sample) => sample.replace(/\{.*/, ''));
    const [, queries] = /^```promql\n(.*?)^```$/ms.exec(readFileSync('docs/server.md', 'utf8'))!;
    const asked = [...queries!.matchAll(/rate\(([\w:]+)\[/g)].map(([, name]) => name);
    expect(asked).toHaveLength(3);
    expect(names).toEqual(expect.arrayContaining(asked));
  });

  it('is where the scrape configuration of the example looks for it', async () => {
    const config = readFileSync('examples/09-prometheus.yml', 'utf8');
    const { host, port } = checkServerOptions({});
    const told = (name: string) => new RegExp(`^ +(?:- )?${name}: (.+)$`, 'm').exec(config)?.[1];
    expect(told('targets')).toBe(`['${host}:${port}']`);
    const { server } = serve();
    // Prometheus' Host header is the target.
    const headers = { host: `${host}:${port}` };
    expect((await server.app.inject({ url: told('metrics_path')!, headers })).statusCode).toBe(200);
    // A key as `authorization` sends it.
    const withKey = createServer(new FakeEngine(), { apiKey: 'key' });
    servers.push(withKey);
    const ask = (authorization: string) =>
      withKey.app.inject({ url: '/metrics', headers: { ...headers, authorization } });
    expect((await ask('Bearer key')).statusCode).toBe(200);
    expect((await ask('Bearer other')).statusCode).toBe(401);
  });

  it('counts what was refused, by code', async () => {
    const { complete, read } = serve();
    await complete({ temperature: 'hot' });
    await complete({ n: 5 });
    expect((await read())['adaptive_spec_requests_rejected_total{code="INVALID_ARGUMENT"}']).toBe(2);
  });
});
