import { Group, Text, Tooltip } from "@mantine/core";

import { useAuth } from "../../api/AuthContext";
import type { Bundle, Collision, LaneHead, RecordedTicket } from "../../api/client";
import { useCursorQuery } from "../../api/useCursorQuery";
import { LoadMoreButton } from "../../components/LoadMoreButton";
import { QueryState } from "../../components/QueryState";
import { t } from "../../lib/strings";
import { REFETCH_INTERVAL_MS } from "./useBundle";

// Sizes in pixels.
const STEP = 22;
const RADIUS = 7;
const CHAIN_Y = 14;
const FORK_Y = 48;

/** A lane's tickets as a chain of dots, with the fork if there is one. */
export function LaneChart(props: {
  bundle: Bundle;
  lane: number;
  /** How often the streams of its last exchange re-keyed, of that exchange. */
  rekeyed: LaneHead | undefined;
  collision: Collision | undefined;
}) {
  const { bundle, lane, rekeyed, collision } = props;
  const fork = collision?.kind === "fork" && collision.lane === lane ? collision : undefined;
  const query = useTickets(bundle, lane);
  return (
    <QueryState query={query}>
      {(newestFirst) => (
        <section aria-label={t.bundle.lane(lane)}>
          <Group justify="space-between">
            <Text fw={600}>{t.bundle.lane(lane)}</Text>
            <LoadMoreButton query={query} label={t.bundle.earlier} size="compact-xs" />
          </Group>
          <div className="lane" tabIndex={0} role="group" aria-label={t.bundle.lane(lane)}>
            <Chain tickets={newestFirst.toReversed()} forkAt={fork?.n} />
          </div>
          {rekeyed?.k && (
            <Text size="sm" c="dimmed">
              {t.bundle.rekeyed(rekeyed.n, rekeyed.k)}
            </Text>
          )}
          {fork && (
            <Text className="bad" size="sm">
              {fork.k != null ? t.bundle.forkInStream : t.bundle.fork}
            </Text>
          )}
        </section>
      )}
    </QueryState>
  );
}

function useTickets(bundle: Bundle, lane: number) {
  const { api } = useAuth();
  return useCursorQuery({
    queryKey: ["tickets", bundle.id, lane],
    refetchInterval: bundle.state === "disconnected" ? false : REFETCH_INTERVAL_MS,
    fetchPage: (cursor) =>
      api.GET("/v1/bundles/{id}/tickets", {
        params: {
          path: { id: bundle.id },
          query: { lane, ...(cursor ? { cursor: Number(cursor) } : {}) },
        },
      }),
  });
}

/** The chart: tickets in the order of their numbers, the fork's second ticket below. */
function Chain(props: { tickets: RecordedTicket[]; forkAt: number | undefined }) {
  const { tickets, forkAt } = props;
  const first = tickets[0]?.n ?? 0;
  const x = (n: number) => RADIUS + STEP * (n - first);
  const end = x(tickets.at(-1)?.n ?? 0);
  return (
    <svg
      width={end + STEP * 2}
      height={forkAt === undefined ? 28 : 64}
      role="img"
      aria-label={t.bundle.ticketCount(tickets.length)}
    >
      <line className="chain" x1={RADIUS} y1={CHAIN_Y} x2={end} y2={CHAIN_Y} />
      {forkAt !== undefined && (
        <>
          <line
            className="chain fork"
            x1={x(Math.max(forkAt - 1, first))}
            y1={CHAIN_Y}
            x2={x(forkAt)}
            y2={FORK_Y}
          />
          <circle className="dot fork" cx={x(forkAt)} cy={FORK_Y} r={RADIUS} data-testid="fork">
            <title>{t.bundle.fork}</title>
          </circle>
        </>
      )}
      {tickets.map((ticket) => (
        <Tooltip
          key={ticket.n}
          multiline
          label={`${t.bundle.ticket} ${ticket.n} · ${ticket.hash.slice(0, 16)}… · ${t.bundle.reportedBy} ${reporters(ticket)} · ${ticket.receipt ? `${t.bundle.receipt} ${ticket.receipt.slice(0, 16)}…` : t.bundle.noReceipt}`}
        >
          <circle
            data-testid="ticket"
            className={[
              "dot",
              ticket.consumer_reported ? "" : "producer",
              ticket.producer_reported ? "" : "consumer",
              ticket.n === forkAt ? "fork" : "",
            ].join(" ")}
            cx={x(ticket.n)}
            cy={CHAIN_Y}
            r={RADIUS}
          />
        </Tooltip>
      ))}
    </svg>
  );
}

/** Which ends reported a ticket. */
function reporters(ticket: RecordedTicket): string {
  if (ticket.consumer_reported) {
    return ticket.producer_reported ? t.bundle.both : t.bundle.consumerEnd;
  }
  return ticket.producer_reported ? t.bundle.producerEnd : t.bundle.unknownEnd;
}
