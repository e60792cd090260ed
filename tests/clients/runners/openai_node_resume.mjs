// openai-node: reads seven events of a response, breaks off, and resumes behind the last: `node FILE FOLDER BASE_URL`.

import { createRequire } from 'node:module';
import { join } from 'node:path';

const [, , folder, baseURL] = process.argv;
const { OpenAI } = createRequire(join(folder, 'package.json'))('openai');

const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });
const seen = [];
for await (const event of await client.responses.retrieve('resp_1', { stream: true })) {
  seen.push([event.type, event.sequence_number]);
  if (seen.length === 7) break;
}
const query = { stream: true, starting_after: seen.at(-1)[1] };
for await (const event of await client.responses.retrieve('resp_1', query)) {
  seen.push([event.type, event.sequence_number]);
}
console.log(JSON.stringify(seen));
