// The AI SDK's `streamText()`, with the provider that is named: openai, or open-responses.

import { asked, baseURL, prompt, require, serve, told } from './serve.mjs';
import { CUSTOM, FUNCTIONS, PARAMETERS } from './tools.mjs';

const { jsonSchema, streamText, tool } = require('ai');

// A tool without `execute` ends the run, as where a person is asked first.
const tools = Object.fromEntries(FUNCTIONS.map((name) => [name, tool({ inputSchema: jsonSchema(PARAMETERS) })]));

function openResponses() {
  const { createOpenResponses } = require('@ai-sdk/open-responses');
  return createOpenResponses({ name: 'replay', url: `${baseURL}/responses`, apiKey: 'none' })('replay');
}

function openai() {
  const provider = require('@ai-sdk/openai').createOpenAI({ baseURL, apiKey: 'none' });
  tools[CUSTOM] = provider.tools.customTool({ name: CUSTOM });
  return provider.responses('gpt-5.5'); // a model that is known to reason
}

const model = asked === 'open-responses' ? openResponses() : openai();

// How it says that an answer is whole, and that it is not ("interrupted": version 7, where the stream just ends); another
// reason stays as it is.
const STATUS = {
  stop: 'completed', 'tool-calls': 'completed', length: 'incomplete', 'content-filter': 'incomplete', error: 'failed',
  interrupted: 'failed',
};

async function take(seen, result) {
  const reason = await result.finishReason;
  const { inputTokens, outputTokens, totalTokens } = await result.usage;
  seen.status = STATUS[reason] ?? reason;
  seen.usage = { input_tokens: inputTokens, output_tokens: outputTokens, total_tokens: totalTokens };
  for (const part of await result.content) {
    seen.kinds.push(part.type);
    if (part.type === 'text') seen.texts.push(part.text);
    if (part.type === 'reasoning') seen.summaries.push(part.text);
    if (part.type === 'tool-call') seen.calls.push([part.toolName, part.toolCallId, written(part.input)]);
  }
}

const written = (input) => (typeof input === 'string' ? input : JSON.stringify(input));

async function stream(seen, name) {
  const result = streamText({ model, prompt: prompt(name), tools, onError: () => {} });
  for await (const part of result.fullStream) {
    if (part.type === 'text-delta') seen.streamed_text += part.text;
    else if (part.type === 'reasoning-delta') seen.streamed_reasoning += part.text;
    else if (part.type === 'error') seen.error ??= told(part.error);
  }
  await take(seen, result);
}

await serve('ai', stream);
