// LangChain's ChatOpenAI with the Responses API: chunks as they come, and their sum.

import { baseURL, prompt, require, serve } from './serve.mjs';
import { CUSTOM, FUNCTIONS, PARAMETERS } from './tools.mjs';

const { ChatOpenAI } = require('@langchain/openai');

const functions = FUNCTIONS.map((name) => ({ name, description: name, parameters: PARAMETERS }));
const tools = [
  ...functions.map((each) => ({ type: 'function', function: each })),
  { type: 'custom', custom: { name: CUSTOM } },
];
const model = new ChatOpenAI({ model: 'gpt-5.5', apiKey: 'none', useResponsesApi: true, configuration: { baseURL } })
  .bindTools(tools);

const refusal = (message) => message.additional_kwargs.refusal ?? '';

function grow(seen, chunk) {
  for (const block of chunk.contentBlocks) {
    if (block.type === 'text') seen.streamed_text += block.text;
    if (block.type === 'reasoning') seen.streamed_reasoning += block.reasoning;
  }
  seen.streamed_refusal += refusal(chunk);
}

function take(seen, message) {
  seen.status = message.response_metadata.status ?? null;
  seen.usage = message.usage_metadata ?? null;
  if (message.text) seen.texts.push(message.text);
  if (refusal(message)) seen.refusals.push(refusal(message));
  for (const block of message.contentBlocks) {
    seen.kinds.push(block.type);
    if (block.type === 'reasoning') seen.summaries.push(block.reasoning);
  }
  for (const call of message.tool_calls) seen.calls.push([call.name, call.id, JSON.stringify(call.args)]);
  for (const call of message.invalid_tool_calls) seen.calls.push([call.name ?? null, call.id ?? null, call.args ?? null]);
}

async function stream(seen, name) {
  let message;
  for await (const chunk of await model.stream(prompt(name))) {
    message = message === undefined ? chunk : message.concat(chunk);
    grow(seen, chunk);
  }
  if (message !== undefined) take(seen, message);
}

await serve('@langchain/openai', stream);
