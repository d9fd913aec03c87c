import { EventSourceParserStream } from "eventsource-parser/stream";

import type { ArmourEvent } from "../api/client";
import { type Credentials, headersOf } from "../api/auth";

const RETRY_MS = 1000;

/**
 * Follows `/v1/events` until aborted. `EventSource` cannot send a token, so the
 * stream is read by `fetch`; after a break it goes on after the last event
 * seen. `live` is told whether the stream stands.
 */
export async function follow(
  credentials: Credentials,
  signal: AbortSignal,
  live: (standing: boolean) => void,
  seen: (event: ArmourEvent) => void,
): Promise<void> {
  let last: string | undefined;
  while (!signal.aborted) {
    try {
      const headers = headersOf(credentials);
      if (last !== undefined) {
        headers["last-event-id"] = last;
      }
      const response = await fetch("/v1/events", { headers, signal });
      if (!response.ok || !response.body) {
        throw new Error(`events: ${response.status}`);
      }
      live(true);
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
          seen(JSON.parse(value.data) as ArmourEvent);
        }
      }
    } catch {
      // Told by `live`; tried again below.
    }
    if (!signal.aborted) {
      live(false);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
