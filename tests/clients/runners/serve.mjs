// What every runner in JavaScript does: names of streams in, readings out, a line each (../serve.py says it in full).
//
// `node RUNNER FOLDER URL INTERFACE`: FOLDER holds node_modules.

import { createRequire } from 'node:module';
import { readFileSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

export const [folder, baseURL, api] = process.argv.slice(2);

// CommonJS packages by name; for ES modules: `await import(located('package'))`.
export const require = createRequire(join(resolve(folder), 'package.json'));
export const located = (name) => require.resolve(name);
export const version = (name) =>
  JSON.parse(readFileSync(join(resolve(folder), 'node_modules', name, 'package.json'), 'utf8')).version;

export const prompt = (name) => `recording=${name}`;
export const told = (error) => `${error?.constructor?.name ?? 'Error'}: ${error?.message ?? error}`;

// The keys of ../reading.py.
export const reading = () => ({
  error: null, status: null, streamed_text: '', streamed_refusal: '', streamed_reasoning: '',
  texts: [], refusals: [], summaries: [], reasonings: [], calls: [], kinds: [], usage: null,
});

// Answer until standard input ends; what a client prints goes to standard error.
export async function serve(version, read) {
  const say = (values) => writeSync(1, `${JSON.stringify(values)}\n`);
  console.log = console.info = console.debug = console.error;
  // A client may also reject promises that nobody waits for; the program sees the same error where it waits.
  process.on('unhandledRejection', () => {});
  say({ version });
  for await (const line of createInterface({ input: process.stdin })) {
    const name = line.trim();
    say({ name, reading: await read(name) });
  }
  process.exit(0);
}
