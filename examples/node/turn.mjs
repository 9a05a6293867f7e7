// One request through a proxy, recorded as one span: the contract of docs/span-contract.md in JavaScript.

import { SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";

const SECRET = /^(authorization|proxy-authorization|cookie|set-cookie)$|api-?key|token|secret|password|session-key/;
const SHORTEST_SHOWN = 9; // characters: a shorter secret is not shown at all

export class Turn {
  #span;
  #fields;
  #started = process.hrtime.bigint();
  #streams = { upstream: [], client: [] };

  // Payloads become JSON at the time of the call, so that what the proxy changes afterwards does not change the log.
  constructor({ route, clientModel, backend, stream, clientRequest, requestHeaders = {}, targetUrl = "", upstreamModel = "" }) {
    this.#span = trace.getTracer("convlog-node-proxy").startSpan("convlog.turn", { kind: SpanKind.INTERNAL });
    this.#fields = {
      "convlog.route": route,
      "convlog.client_model": clientModel,
      "convlog.backend": backend,
      "convlog.stream": stream,
      "convlog.target_url": targetUrl,
      "convlog.upstream_model": upstreamModel,
      "convlog.request_headers": JSON.stringify(maskHeaders(requestHeaders)),
      "convlog.client_request": JSON.stringify(clientRequest),
    };
  }

  attachUpstreamRequest(body, headers) {
    this.#fields["convlog.upstream_request"] = JSON.stringify({ headers: maskHeaders(headers), body });
  }

  attachUpstreamResponse(answer) {
    this.#fields["convlog.upstream_response"] = JSON.stringify(answer);
  }

  attachClientResponse(answer) {
    this.#fields["convlog.client_response"] = JSON.stringify(answer);
  }

  attachError(error) {
    this.#fields["convlog.error"] = JSON.stringify(error);
    this.#fields["error.type"] = error.type;
    this.#span.setStatus({ code: SpanStatusCode.ERROR });
  }

  setStreamSummary(summary) {
    this.#fields["convlog.stream_summary"] = JSON.stringify(summary);
  }

  appendUpstreamEvent(event) {
    this.#append("upstream", event);
  }

  appendClientEvent(event) {
    this.#append("client", event);
  }

  finalize(usage) {
    if (usage) this.#fields["convlog.usage"] = JSON.stringify(usage);
    this.#span.setAttributes(this.#fields);
    for (const [direction, events] of Object.entries(this.#streams)) {
      if (events.length === 0) continue;
      // One span event for each direction, whatever the number of streamed events: SDKs keep 128 span events.
      this.#span.addEvent(`convlog.${direction}_events`, {
        "convlog.events": `[${events.map(({ json }) => json).join(",")}]`,
        "convlog.offsets_ns": JSON.stringify(events.map(({ offset }) => offset)),
      });
    }
    this.#span.end();
  }

  #append(direction, event) {
    const offset = Number(process.hrtime.bigint() - this.#started);
    this.#streams[direction].push({ json: JSON.stringify(event), offset });
  }
}

function maskHeaders(headers) {
  const masked = ([name, value]) => [name, SECRET.test(name.toLowerCase()) ? maskValue(String(value)) : value];
  return Object.fromEntries(Object.entries(headers).map(masked));
}

function maskValue(value) {
  return value.length >= SHORTEST_SHOWN ? `${value.slice(0, 4)}***${value.slice(-4)}` : "***";
}
