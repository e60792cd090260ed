// What every runner in JavaScript does: names of streams in, readings out, a line each (../serve.py says it in full).
//
// `node RUNNER FOLDER URL INTERFACE`: FOLDER holds node_modules.

import { createRequire } from 'node:module';
import { readFileSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const [folder, url, api] = process.argv.slice(2);
export const baseURL = url; // ends with /v1
export const asked = api; // which interface of the client

export const require = createRequire(join(resolve(folder), 'package.json'));
const version = (client) =>
  JSON.parse(readFileSync(join(resolve(folder), 'node_modules', client, 'package.json'), 'utf8')).version;

export const prompt = (name) => `recording=${name}`;

// Messages of the AI SDK hold the whole event, once for each way in which it could have been read.
const TOLD = 300;
export const told = (error) =>
  (typeof error === 'string' ? error : `${error?.constructor?.name}: ${error?.message}`).slice(0, TOLD);

// The keys of ../reading.py.
const reading = () => ({
  error: null, status: null, streamed_text: '', streamed_refusal: '', streamed_reasoning: '',
  texts: [], refusals: [], summaries: [], reasonings: [], calls: [], kinds: [], usage: null,
});

// Answer until standard input ends; what a client prints goes to standard error. `fill` reads the stream of a name into
// a reading, and what it throws is what the program would get.
export async function serve(client, fill) {
  const say = (values) => writeSync(1, `${JSON.stringify(values)}\n`);
  console.log = console.info = console.debug = console.error;
  // A client may also reject promises that nobody waits for; the program sees the same error where it waits.
  process.on('unhandledRejection', () => {});
  say({ version: version(client) });
  for await (const line of createInterface({ input: process.stdin })) {
    const name = line.trim();
    const seen = reading();
    try {
      await fill(seen, name);
    } catch (error) {
      seen.error ??= told(error);
    }
    say({ name, reading: seen });
  }
  process.exit(0);
}
