// A proxy for OpenAI chat completions whose conversations are logged: node proxy.mjs --upstream URL [--port PORT]

import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import { parseArgs } from "node:util";

import { startTracing } from "./tracing.mjs";
import { Turn } from "./turn.mjs";

const PATH = "/v1/chat/completions";
const OF_ONE_CONNECTION = new Set(["connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade"]);

const { values: options } = parseArgs({
  options: { upstream: { type: "string" }, port: { type: "string", default: "0" } },
});
const provider = startTracing();

async function relay(request, response) {
  if (request.method !== "POST" || request.url !== PATH) {
    return answer(response, 404, { error: { message: `only POST ${PATH} is served` } });
  }
  let body;
  try {
    body = await json(request);
  } catch (error) {
    return answer(response, 400, { error: { message: error.message, type: "invalid_request_error" } });
  }
  const headers = { ...throughHeaders(request.headers), "accept-encoding": "identity" };
  const url = options.upstream + PATH;
  const turn = new Turn({
    route: "chat",
    clientModel: body.model ?? "",
    backend: "openai",
    stream: body.stream === true,
    clientRequest: body,
    requestHeaders: request.headers,
    targetUrl: url,
    upstreamModel: body.model ?? "",
  });
  turn.attachUpstreamRequest(body, headers);
  let usage;
  try {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const upstream = await fetch(url, { method: "POST", body: JSON.stringify(body), headers, signal: gone.signal });
    const streams = upstream.headers.get("content-type")?.startsWith("text/event-stream");
    usage = await (streams ? passStream : passAnswer)(upstream, response, turn);
  } catch (error) {
    const kind = response.destroyed ? "client_disconnected" : "upstream_error";
    turn.attachError({ type: kind, message: String(error.cause ?? error) });
    if (!response.headersSent) answer(response, 502, { error: { message: "the upstream does not answer", type: kind } });
    response.end();
  } finally {
    turn.finalize(usage);
  }
}

async function passAnswer(upstream, response, turn) {
  const text = await upstream.text();
  const value = parsed(text);
  turn.attachUpstreamResponse(value);
  turn.attachClientResponse(value);
  if (!upstream.ok) turn.attachError({ type: "upstream_status", status_code: upstream.status, body: value });
  response.writeHead(upstream.status, { "content-type": upstream.headers.get("content-type") }).end(text);
  return value?.usage;
}

async function passStream(upstream, response, turn) {
  response.writeHead(upstream.status, { "content-type": upstream.headers.get("content-type") });
  let usage = null;
  let text = "";
  let count = 0;
  for await (const data of serverSentData(upstream.body, response)) {
    const value = parsed(data);
    const event = { type: "openai_chunk", data: value };
    turn.appendUpstreamEvent(event);
    turn.appendClientEvent(event);
    count += 1;
    text += value.choices?.[0]?.delta?.content ?? "";
    usage = value.usage ?? usage;
  }
  turn.setStreamSummary({ text, event_counts: { openai_chunk: count }, usage });
  response.end();
  return usage;
}

// Passes the pieces of a stream on at once, and yields the data of the events that they complete.
async function* serverSentData(stream, response) {
  const decoder = new TextDecoder();
  let waiting = "";
  for await (const piece of stream) {
    response.write(piece);
    waiting += decoder.decode(piece, { stream: true });
    const events = waiting.split(/\r?\n\r?\n/);
    waiting = events.pop();
    for (const event of events) {
      const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
    }
  }
}

function throughHeaders(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OF_ONE_CONNECTION.has(name)));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function answer(response, status, value) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

const underWay = new Set();
const server = createServer((request, response) => {
  const relaying = relay(request, response).catch((error) => {
    console.error(error);
    response.destroy();
  });
  underWay.add(relaying);
  relaying.finally(() => underWay.delete(relaying));
});
server.listen(Number(options.port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    server.close(async () => {
      await Promise.allSettled(underWay); // a turn ends a moment after its connection
      await provider.shutdown(); // sends what waits
      process.exit(0);
    });
    server.closeIdleConnections();
  });
}
