import { useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useMemo, useState } from "react";
import type { ReactNode } from "react";

import type { ArmourEvent } from "../api/client";
import { useAuth } from "../api/AuthContext";
import { followEvents } from "./events";

const MAX_EVENTS = 200;
const REFETCH_DELAY_MS = 150;

interface Live {
  events: ArmourEvent[];
  /** Since when the event stream has been disconnected, if it is. */
  staleSince: Date | undefined;
}

const LiveContext = createContext<Live>({ events: [], staleSince: undefined });

/** Follows the tenant's events, and refetches what is shown when one arrives. */
export function LiveProvider(props: { children: ReactNode }) {
  const { api, whoami } = useAuth();
  const queries = useQueryClient();
  const [events, setEvents] = useState<ArmourEvent[]>([]);
  const [staleSince, setStaleSince] = useState<Date>();

  useEffect(() => {
    if (whoami.role === "platform-admin") {
      return undefined;
    }
    const controller = new AbortController();
    let refetchTimer: ReturnType<typeof setTimeout> | undefined;
    void followEvents(
      api,
      controller.signal,
      (isConnected) => {
        setStaleSince((since) => (isConnected ? undefined : (since ?? new Date())));
        if (!isConnected) {
          // If the session has ended, a refetch will show it.
          void queries.invalidateQueries();
        }
      },
      (event) => {
        setEvents((earlier) => [event, ...earlier].slice(0, MAX_EVENTS));
        // Many events at once need only one refetch.
        refetchTimer ??= setTimeout(() => {
          refetchTimer = undefined;
          void queries.invalidateQueries();
        }, REFETCH_DELAY_MS);
      },
    );
    return () => {
      controller.abort();
      clearTimeout(refetchTimer);
    };
  }, [api, whoami.role, queries]);

  const live = useMemo(() => ({ events, staleSince }), [events, staleSince]);
  return <LiveContext.Provider value={live}>{props.children}</LiveContext.Provider>;
}

export function useLive(): Live {
  return useContext(LiveContext);
}
