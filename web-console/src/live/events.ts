import { EventSourceParserStream } from "eventsource-parser/stream";

import { type Api, type ArmourEvent, unwrapStream } from "../api/client";

const RETRY_DELAY_MS = 1000;

/**
 * Follows `/v1/events` until aborted, and says when the connection is made or lost.
 * `EventSource` cannot send a token, so the stream is read by `fetch`; after a lost
 * connection it resumes after the last event received.
 */
export async function followEvents(
  api: Api,
  signal: AbortSignal,
  onConnectionChange: (isConnected: boolean) => void,
  onEvent: (event: ArmourEvent) => void,
): Promise<void> {
  let lastId: number | null = null;
  while (!signal.aborted) {
    try {
      const { stream } = await unwrapStream(
        api.GET("/v1/events", {
          parseAs: "stream",
          signal,
          params: { header: { "Last-Event-ID": lastId } },
        }),
      );
      onConnectionChange(true);
      const reader = stream
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream())
        .getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) {
          break;
        }
        if (value.id) {
          lastId = Number(value.id);
        }
        if (value.data) {
          onEvent(JSON.parse(value.data) as ArmourEvent);
        }
      }
    } catch {
      // Reported below, then tried again.
    }
    if (!signal.aborted) {
      onConnectionChange(false);
      await new Promise((resolve) => setTimeout(resolve, RETRY_DELAY_MS));
    }
  }
}
