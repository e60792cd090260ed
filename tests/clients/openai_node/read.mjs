// openai-node's `responses.stream()` on many recordings: `node read.mjs FOLDER URL < names.json`.
//
// FOLDER holds node_modules. Standard input is a JSON list of recordings, standard output a JSON object of readings
// (../reading.py) by name.

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const [folder, baseURL] = process.argv.slice(2);
const require = createRequire(join(resolve(folder), 'package.json'));
const { OpenAI } = require('openai');
const { version } = JSON.parse(readFileSync(join(resolve(folder), 'node_modules/openai/package.json'), 'utf8'));

const STREAMED = {
  'response.output_text.delta': 'streamed_text',
  'response.refusal.delta': 'streamed_refusal',
  'response.reasoning_summary_text.delta': 'streamed_reasoning',
  'response.reasoning_text.delta': 'streamed_reasoning',
};

const joined = (parts, kind, key) =>
  (parts ?? []).filter((part) => part?.type === kind).map((part) => part[key] ?? '').join('');

// Take from the final response what a program would take.
function take(reading, response) {
  reading.status = response.status ?? null;
  reading.usage = response.usage ?? null;
  for (const item of response.output ?? []) {
    reading.kinds.push(item.type);
    if (item.type === 'message') {
      reading.texts.push(joined(item.content, 'output_text', 'text'));
      reading.refusals.push(joined(item.content, 'refusal', 'refusal'));
    } else if (item.type === 'reasoning') {
      reading.summaries.push(joined(item.summary, 'summary_text', 'text'));
      reading.reasonings.push(joined(item.content, 'reasoning_text', 'text'));
    } else if (item.type === 'function_call') {
      reading.calls.push([item.name ?? null, item.call_id ?? null, item.arguments ?? null]);
    } else if (item.type === 'custom_tool_call') {
      reading.calls.push([item.name ?? null, item.call_id ?? null, item.input ?? null]);
    }
  }
  for (const key of ['texts', 'refusals', 'summaries', 'reasonings']) {
    reading[key] = reading[key].filter((text) => text !== '');
  }
}

async function read(client, name) {
  const reading = {
    error: null, status: null, streamed_text: '', streamed_refusal: '', streamed_reasoning: '',
    texts: [], refusals: [], summaries: [], reasonings: [], calls: [], kinds: [], usage: null,
  };
  try {
    const stream = client.responses.stream({ model: 'replay', input: `recording=${name}` });
    for await (const event of stream) {
      const held = STREAMED[event.type];
      if (held !== undefined) reading[held] += event.delta;
    }
    take(reading, await stream.finalResponse());
  } catch (error) {
    reading.error = `${error?.constructor?.name ?? 'Error'}: ${error?.message ?? error}`;
  }
  return reading;
}

// The SDK also rejects promises that nobody waits for; the loop above is the program, and it sees the same error.
process.on('unhandledRejection', () => {});

const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0, timeout: 30_000 });
const readings = {};
for (const name of JSON.parse(readFileSync(0, 'utf8'))) readings[name] = await read(client, name);
process.stdout.write(JSON.stringify({ version, readings }));
