// openai-node: `responses.stream()`, which puts the answer together, and `responses.create()`, which hands on the events.

import { asked, baseURL, prompt, require, serve } from './serve.mjs';

const { OpenAI } = require('openai');

const STREAMED = {
  'response.output_text.delta': 'streamed_text',
  'response.refusal.delta': 'streamed_refusal',
  'response.reasoning_summary_text.delta': 'streamed_reasoning',
  'response.reasoning_text.delta': 'streamed_reasoning',
};

const joined = (parts, kind, key) =>
  (parts ?? []).filter((part) => part?.type === kind).map((part) => part[key] ?? '').join('');

// Take from the final response what a program would take.
function take(seen, response) {
  seen.status = response.status ?? null;
  seen.usage = response.usage ?? null;
  for (const item of response.output ?? []) {
    seen.kinds.push(item.type);
    if (item.type === 'message') {
      seen.texts.push(joined(item.content, 'output_text', 'text'));
      seen.refusals.push(joined(item.content, 'refusal', 'refusal'));
    } else if (item.type === 'reasoning') {
      seen.summaries.push(joined(item.summary, 'summary_text', 'text'));
      seen.reasonings.push(joined(item.content, 'reasoning_text', 'text'));
    } else if (item.type === 'function_call') {
      seen.calls.push([item.name ?? null, item.call_id ?? null, item.arguments ?? null]);
    } else if (item.type === 'custom_tool_call') {
      seen.calls.push([item.name ?? null, item.call_id ?? null, item.input ?? null]);
    }
  }
  for (const key of ['texts', 'refusals', 'summaries', 'reasonings']) {
    seen[key] = seen[key].filter((text) => text !== '');
  }
}

const client = new OpenAI({ baseURL, apiKey: 'none', timeout: 30_000 });

function grow(seen, event) {
  const held = STREAMED[event.type];
  if (held !== undefined) seen[held] += event.delta;
}

async function stream(seen, name) {
  const events = client.responses.stream({ model: 'replay', input: prompt(name) });
  for await (const event of events) grow(seen, event);
  take(seen, await events.finalResponse());
}

const LAST = ['response.completed', 'response.incomplete', 'response.failed'];

// The answer is the response of the last event.
async function create(seen, name) {
  for await (const event of await client.responses.create({ model: 'replay', input: prompt(name), stream: true })) {
    grow(seen, event);
    if (event.type === 'error') throw new Error(event.message);
    if (LAST.includes(event.type)) take(seen, event.response);
  }
}

await serve('openai', { stream, create }[asked]);
