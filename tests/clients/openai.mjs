// Asks a server, whose base URL is the first argument, streaming and not, and prints what came as JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const request = { model: "local", max_tokens: 12, temperature: 0, messages: [{ role: "user", content: process.argv[3] }] };

const { data, response } = await client.chat.completions.create(request).withResponse();
let streamed = "";
let chunks = 0;
const stream = await client.chat.completions.create({ ...request, stream: true });
for await (const chunk of stream) {
  chunks += 1;
  streamed += chunk.choices[0]?.delta?.content ?? "";
}
const models = [];
for await (const model of client.models.list()) models.push(model.id);
console.log(JSON.stringify({
  outcome: response.headers.get("x-promptlift"), answer: data.choices[0].message.content, streamed, chunks, models,
}));
