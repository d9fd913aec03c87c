import {
  Alert,
  Button,
  Group,
  Paper,
  SimpleGrid,
  Stack,
  Table,
  Text,
  Title,
  Tooltip,
} from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";

import {
  type Bundle,
  type Collision,
  type RecordedTicket,
  unwrap,
  unwrapWithEtag,
} from "../../api/client";
import { isTicketSigned } from "../../lib/crypto";
import { useAuth } from "../../api/AuthContext";
import { ErrorAlert } from "../../components/ErrorAlert";
import { QueryState } from "../../components/QueryState";
import { StateBadge } from "../../components/StateBadge";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";
import { PairActions } from "../../components/PairActions";

/** Exchanges make no events: how often a bundle in use is read anew, in milliseconds. */
const REFETCH_INTERVAL_MS = 3_000;

export function BundlePage() {
  const { id } = useParams({ from: "/bundles/$id" });
  const { api } = useAuth();
  const path = { params: { path: { id } } };
  const query = useQuery({
    queryKey: ["bundle", id],
    refetchInterval: (now) =>
      now.state.data?.bundle.state === "disconnected" ? false : REFETCH_INTERVAL_MS,
    queryFn: async () => {
      const bundle = await unwrap(api.GET("/v1/bundles/{id}", path));
      const [pair, lanes, collisions, obediences] = await Promise.all([
        unwrapWithEtag(api.GET("/v1/pairs/{id}", { params: { path: { id: bundle.pair_id } } })),
        unwrap(api.GET("/v1/bundles/{id}/lanes", path)),
        unwrap(api.GET("/v1/collisions")),
        unwrap(api.GET("/v1/bundles/{id}/obediences", path)),
      ]);
      const collision = collisions.items.find((one) => one.bundle_id === id);
      return { bundle, pair: pair.data, etag: pair.etag, lanes, collision, obediences };
    },
  });
  return (
    <QueryState query={query}>
      {({ bundle, pair, etag, lanes, collision, obediences }) => (
        <Stack>
          <Group justify="space-between">
            <Title order={2}>
              {t.bundle.title}: {pair.consumer_name} → {pair.producer_name}
            </Title>
            <Group>
              <StateBadge state={bundle.state} />
              {bundle.state === "disconnected" && pair.state === "disconnected" && (
                <PairActions pair={pair} etag={etag} />
              )}
            </Group>
          </Group>
          <Text>
            <code>{bundle.id}</code> · {t.bundle.exchanges}: {bundle.exchanges.toLocaleString()} ·{" "}
            <Link to="/pairs/$id" params={{ id: pair.id }}>
              {t.bundle.pair}
            </Link>
          </Text>
          {collision && <CollisionEvidence collision={collision} />}
          {bundle.state === "disconnected" && (
            <Paper withBorder p="md">
              <Title order={3} size="h4" mb="sm">
                {t.bundle.obeyed}
              </Title>
              <Table>
                <Table.Tbody>
                  {[
                    [t.bundle.consumerEnd, bundle.consumer_endpoint_id],
                    [t.bundle.producerEnd, bundle.producer_endpoint_id],
                  ].map(([side, endpoint]) => {
                    const obeyed = obediences.find((one) => one.endpoint_id === endpoint);
                    return (
                      <Table.Tr key={endpoint}>
                        <Table.Th scope="row">{side}</Table.Th>
                        <Table.Td>
                          {obeyed && bundle.disconnected_at
                            ? t.bundle.after(
                                `${Math.max(
                                  0,
                                  Date.parse(obeyed.obeyed_at) - Date.parse(bundle.disconnected_at),
                                ).toLocaleString()} ms`,
                              )
                            : t.bundle.notYet}
                        </Table.Td>
                      </Table.Tr>
                    );
                  })}
                </Table.Tbody>
              </Table>
            </Paper>
          )}
          <Paper withBorder p="md">
            <Title order={3} size="h4" mb="sm">
              {t.bundle.lanes}
            </Title>
            {lanes.length === 0 ? (
              <Text c="dimmed">{t.bundle.noLanes}</Text>
            ) : (
              <Stack>
                <Text size="sm" c="dimmed">
                  {t.bundle.legend}
                </Text>
                {lanes.map(({ lane }) => (
                  <LaneChart key={lane} bundle={bundle} lane={lane} collision={collision} />
                ))}
              </Stack>
            )}
          </Paper>
        </Stack>
      )}
    </QueryState>
  );
}

const STEP = 22;
const RADIUS = 7;

/** A lane's tickets as a chain of dots, and the fork where there is one. */
function LaneChart(props: { bundle: Bundle; lane: number; collision: Collision | undefined }) {
  const { api } = useAuth();
  const { bundle, lane } = props;
  const fork =
    props.collision?.kind === "fork" && props.collision.lane === lane ? props.collision : undefined;
  const query = useInfiniteQuery({
    queryKey: ["tickets", bundle.id, lane],
    refetchInterval: bundle.state === "disconnected" ? false : REFETCH_INTERVAL_MS,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET("/v1/bundles/{id}/tickets", {
          params: {
            path: { id: bundle.id },
            query: { lane, ...(pageParam ? { cursor: Number(pageParam) } : {}) },
          },
        }),
      ),
    getNextPageParam: (last) => last.next ?? undefined,
  });
  if (query.data === undefined) {
    return query.error ? <ErrorAlert error={query.error} /> : <Text>{t.loading}</Text>;
  }
  const tickets = query.data.pages.flatMap((page) => page.items).reverse();
  const place = (n: number) => RADIUS + STEP * (n - (tickets[0]?.n ?? 0));
  const width = place(tickets.at(-1)?.n ?? 0) + STEP * 2;
  const side = (ticket: RecordedTicket) => {
    const { consumer_reported: consumer, producer_reported: producer } = ticket;
    return consumer && producer
      ? t.bundle.both
      : consumer
        ? t.bundle.consumerEnd
        : producer
          ? t.bundle.producerEnd
          : t.bundle.unknownEnd;
  };
  return (
    <section aria-label={t.bundle.lane(lane)}>
      <Group justify="space-between">
        <Text fw={600}>{t.bundle.lane(lane)}</Text>
        {query.hasNextPage && (
          <Button
            size="compact-xs"
            variant="default"
            loading={query.isFetchingNextPage}
            onClick={() => void query.fetchNextPage()}
          >
            {t.bundle.earlier}
          </Button>
        )}
      </Group>
      <div className="lane" tabIndex={0} role="group" aria-label={t.bundle.lane(lane)}>
        <svg width={width} height={fork ? 64 : 28} role="img" aria-label={`${tickets.length}`}>
          <line className="chain" x1={RADIUS} y1={14} x2={width - STEP * 2} y2={14} />
          {fork && (
            <>
              <line
                className="chain fork"
                x1={place(Math.max(fork.n - 1, tickets[0]?.n ?? 0))}
                y1={14}
                x2={place(fork.n)}
                y2={48}
              />
              <circle className="dot fork" cx={place(fork.n)} cy={48} r={RADIUS} data-testid="fork">
                <title>{t.bundle.fork}</title>
              </circle>
            </>
          )}
          {tickets.map((ticket) => (
            <Tooltip
              key={ticket.n}
              multiline
              label={`${t.bundle.ticket} ${ticket.n} · ${ticket.hash.slice(0, 16)}… · ${t.bundle.reportedBy} ${side(ticket)}`}
            >
              <circle
                data-testid="ticket"
                className={[
                  "dot",
                  ticket.consumer_reported ? "" : "producer",
                  ticket.producer_reported ? "" : "consumer",
                  fork?.n === ticket.n ? "fork" : "",
                ].join(" ")}
                cx={place(ticket.n)}
                cy={14}
                r={RADIUS}
              />
            </Tooltip>
          ))}
        </svg>
      </div>
      {fork && (
        <Text className="bad" size="sm">
          {t.bundle.fork}
        </Text>
      )}
    </section>
  );
}

/** The tickets side by side, their signatures checked here. */
function CollisionEvidence(props: { collision: Collision }) {
  const { api } = useAuth();
  const { collision } = props;
  const query = useQuery({
    queryKey: ["evidence", collision.id],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async () => {
      const evidence = await unwrap(
        api.GET("/v1/collisions/{id}/evidence", { params: { path: { id: collision.id } } }),
      );
      const tickets = [evidence.collision.recorded, evidence.collision.reported].filter(
        (ticket) => ticket != null,
      );
      const signed = await Promise.all(
        tickets.map((ticket) => isTicketSigned(evidence.consumer_signing_key, ticket)),
      );
      return { evidence, count: tickets.length, signed: signed.every(Boolean) };
    },
  });
  const what = t.collisions[collision.kind];
  return (
    <Alert
      color="red"
      variant="light"
      title={`${t.bundle.evidence}: ${what}`}
      data-testid="evidence"
    >
      <Stack>
        <Text>
          <Timestamp at={collision.detected_at} />
          {collision.kind !== "usurped" &&
            ` · ${t.bundle.lane(collision.lane)}, ${t.bundle.ticket} ${collision.n}`}
        </Text>
        <SimpleGrid cols={{ base: 1, md: 2 }}>
          {[
            [t.bundle.recorded, collision.recorded],
            [t.bundle.reported, collision.reported],
          ].map(
            ([label, ticket]) =>
              ticket && (
                <div key={label}>
                  <Text fw={600}>{label}</Text>
                  <div className="evidence">{ticket}</div>
                </div>
              ),
          )}
        </SimpleGrid>
        <QueryState query={query}>
          {({ evidence, count, signed }) => (
            <>
              <Text fw={600} data-testid="verdict">
                {signed ? t.bundle.vouched[count] : t.bundle.notSigned}
              </Text>
              <Button
                size="xs"
                variant="default"
                w="fit-content"
                component="a"
                download={`evidence-${collision.id}.json`}
                href={URL.createObjectURL(
                  new Blob([JSON.stringify(evidence, null, 2)], { type: "application/json" }),
                )}
              >
                {t.audit.export}
              </Button>
            </>
          )}
        </QueryState>
      </Stack>
    </Alert>
  );
}
