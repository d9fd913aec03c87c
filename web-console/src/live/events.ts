import { EventSourceParserStream } from "eventsource-parser/stream";

import type { ArmourEvent } from "../api/client";
import { type Credentials, authHeaders } from "../api/credentials";

const RETRY_MS = 1000;

/**
 * Follows `/v1/events` until aborted. `EventSource` cannot send a token, so the
 * stream is read by `fetch`; after a break it goes on after the last event
 * seen. `live` is told whether the stream stands.
 */
export async function followEvents(
  credentials: Credentials,
  signal: AbortSignal,
  onConnectionChange: (standing: boolean) => void,
  onEvent: (event: ArmourEvent) => void,
): Promise<void> {
  let last: string | undefined;
  while (!signal.aborted) {
    try {
      const headers = authHeaders(credentials);
      if (last !== undefined) {
        headers["last-event-id"] = last;
      }
      const response = await fetch("/v1/events", { headers, signal });
      if (!response.ok || !response.body) {
        throw new Error(`events: ${response.status}`);
      }
      onConnectionChange(true);
      const events = response.body
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream());
      const reader = events.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) {
          break;
        }
        if (value.id) {
          last = value.id;
        }
        if (value.data) {
          onEvent(JSON.parse(value.data) as ArmourEvent);
        }
      }
    } catch {
      // Told by `live`; tried again below.
    }
    if (!signal.aborted) {
      onConnectionChange(false);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
