import { useCallback, useEffect, useRef, useState } from "react";

import {
  type Api,
  type ArmourEvent,
  type Bundle,
  type Collision,
  type Endpoint,
  type Pair,
  Refused,
  all,
  answer,
} from "../api/client";
import type { SignedIn } from "../auth";
import { follow } from "./events";

const MOST_EVENTS = 200;
const REFRESH_MS = 5000;

export interface World {
  pairs: Pair[];
  endpoints: Endpoint[];
  bundles: Bundle[];
  collisions: Collision[];
}

export interface Live {
  world: World | undefined;
  events: ArmourEvent[];
  /** Since when the stream of events is cut, if it is. */
  staleSince: Date | undefined;
  error: string | undefined;
  refresh: () => void;
}

/** The tenant's state, read anew whenever an event says that it changed. */
export function useWorld(me: SignedIn, refused: () => void): Live {
  const { api, credentials } = me;
  const [world, setWorld] = useState<World>();
  const [events, setEvents] = useState<ArmourEvent[]>([]);
  const [staleSince, setStaleSince] = useState<Date>();
  const [error, setError] = useState<string>();
  const reading = useRef(false);
  const again = useRef(false);

  const refresh = useCallback(async () => {
    // Of many events at once one more reading is enough.
    if (reading.current) {
      again.current = true;
      return;
    }
    reading.current = true;
    try {
      do {
        again.current = false;
        setWorld(await read(api));
        setError(undefined);
      } while (again.current);
    } catch (failure) {
      if (failure instanceof Refused && failure.status === 401) {
        refused();
      }
      setError(failure instanceof Error ? failure.message : String(failure));
    } finally {
      reading.current = false;
    }
  }, [api, refused]);

  useEffect(() => {
    const stop = new AbortController();
    void refresh();
    const timer = setInterval(() => void refresh(), REFRESH_MS);
    void follow(
      credentials,
      stop.signal,
      (standing) => setStaleSince((since) => (standing ? undefined : (since ?? new Date()))),
      (event) => {
        setEvents((known) => [event, ...known].slice(0, MOST_EVENTS));
        void refresh();
      },
    );
    return () => {
      stop.abort();
      clearInterval(timer);
    };
  }, [credentials, refresh]);

  return { world, events, staleSince, error, refresh: () => void refresh() };
}

async function read(api: Api): Promise<World> {
  const from = (cursor: string | undefined) => ({
    params: { query: cursor === undefined ? {} : { cursor } },
  });
  const [pairs, endpoints, bundles, collisions] = await Promise.all([
    all<Pair>((cursor) => api.GET("/v1/pairs", from(cursor))),
    all<Endpoint>((cursor) => api.GET("/v1/endpoints", from(cursor))),
    // Of these the first page: what is recent.
    answer(api.GET("/v1/bundles")),
    answer(api.GET("/v1/collisions")),
  ]);
  return { pairs, endpoints, bundles: bundles.items, collisions: collisions.items };
}
