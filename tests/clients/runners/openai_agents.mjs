// The Agents SDK: an agent that runs the tools which the model calls, streamed.

import { baseURL, prompt, require, serve } from './serve.mjs';
import { ANSWER, FUNCTIONS, PARAMETERS } from './tools.mjs';

const { Agent, OpenAIProvider, Runner, tool } = require('@openai/agents');

const TURNS = 4; // more than any recorded model needs; the default is 10

const runner = new Runner({
  modelProvider: new OpenAIProvider({ apiKey: 'none', baseURL, useResponses: true }),
  tracingDisabled: true,
});
const tools = FUNCTIONS.map((name) =>
  tool({
    name, description: name, parameters: { ...PARAMETERS, required: [] }, strict: false, execute: async () => ANSWER,
  }));
const agent = new Agent({ name: 'replay', model: 'gpt-5.5', tools });

function grow(seen, event) {
  if (event.type === 'response.reasoning_summary_text.delta') seen.streamed_reasoning += event.delta;
  if (event.type === 'response.reasoning_text.delta') seen.streamed_reasoning += event.delta;
  if (event.type === 'response.refusal.delta') seen.streamed_refusal += event.delta;
}

const joined = (parts) => (parts ?? []).map((part) => part.text).join('');

function take(seen, result) {
  for (const { rawItem: item } of result.newItems) {
    seen.kinds.push(item.type);
    if (item.type === 'message') seen.texts.push(joined(item.content));
    if (item.type === 'reasoning') seen.summaries.push(joined(item.content));
    if (item.type === 'function_call') seen.calls.push([item.name, item.callId, item.arguments]);
  }
  const { inputTokens, outputTokens, totalTokens } = result.rawResponses[0].usage; // of the stream that was asked for
  seen.usage = { input_tokens: inputTokens, output_tokens: outputTokens, total_tokens: totalTokens };
  seen.status = 'completed'; // it has no other word for the end of a run
}

async function run(seen, name) {
  const result = await runner.run(agent, prompt(name), { stream: true, maxTurns: TURNS });
  for await (const event of result) {
    if (event.type !== 'raw_model_stream_event') continue;
    if (event.data.type === 'output_text_delta') seen.streamed_text += event.data.delta;
    if (event.data.type === 'model') grow(seen, event.data.event);
  }
  await result.completed;
  take(seen, result);
}

await serve('@openai/agents', run);
