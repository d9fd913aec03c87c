import type { Endpoint, Pair } from "../api/client";

export type Health = "healthy" | "silent" | "none";

/** Whether one of these endpoints has been heard of within the pair's lease. */
export function health(endpoints: Endpoint[], pair: Pair, now: number): Health {
  const active = endpoints.filter((endpoint) => endpoint.state === "active");
  if (active.length === 0) {
    return "none";
  }
  const heard = active.some(
    (endpoint) =>
      endpoint.last_seen_at != null &&
      now - Date.parse(endpoint.last_seen_at) < pair.policy.heartbeat_interval_ms * 3 + 5000,
  );
  return heard ? "healthy" : "silent";
}
