import { useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useMemo, useState } from "react";
import type { ReactNode } from "react";

import type { ArmourEvent } from "../api/client";
import { useAuth } from "../api/AuthContext";
import { followEvents } from "./events";

const MAX_EVENTS = 200;

interface Live {
  events: ArmourEvent[];
  /** Since when the stream of events is cut, if it is. */
  staleSince: Date | undefined;
}

const LiveContext = createContext<Live>({ events: [], staleSince: undefined });

/** Follows the tenant's events; what is shown is read anew when one comes. */
export function LiveProvider(props: { children: ReactNode }) {
  const { api, whoami } = useAuth();
  const queries = useQueryClient();
  const [events, setEvents] = useState<ArmourEvent[]>([]);
  const [staleSince, setStaleSince] = useState<Date>();

  useEffect(() => {
    if (whoami.role === "platform-admin") {
      return undefined;
    }
    const stop = new AbortController();
    let soon: ReturnType<typeof setTimeout> | undefined;
    void followEvents(
      api,
      stop.signal,
      (standing) => {
        setStaleSince((since) => (standing ? undefined : (since ?? new Date())));
        if (!standing) {
          // Perhaps because nobody is signed in any more: the next call tells.
          void queries.invalidateQueries();
        }
      },
      (event) => {
        setEvents((known) => [event, ...known].slice(0, MAX_EVENTS));
        // Of many events at once one reading is enough.
        soon ??= setTimeout(() => {
          soon = undefined;
          void queries.invalidateQueries();
        }, 150);
      },
    );
    return () => {
      stop.abort();
      clearTimeout(soon);
    };
  }, [api, whoami.role, queries]);

  const live = useMemo(() => ({ events, staleSince }), [events, staleSince]);
  return <LiveContext.Provider value={live}>{props.children}</LiveContext.Provider>;
}

export function useLive(): Live {
  return useContext(LiveContext);
}
