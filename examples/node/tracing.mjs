// Where the spans go: OTEL_EXPORTER_OTLP_ENDPOINT, and with what token: OTEL_EXPORTER_OTLP_HEADERS.

import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

export function startTracing() {
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ "service.name": process.env.OTEL_SERVICE_NAME ?? "convlog-node-proxy" }),
    // A turn holds all its bodies, so a batch of few is large already; and it is to be seen soon.
    spanProcessors: [
      new BatchSpanProcessor(new OTLPTraceExporter(), { maxExportBatchSize: 16, scheduledDelayMillis: 500 }),
    ],
  });
  provider.register();
  return provider;
}
