import { Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { useAuth } from "../../api/AuthContext";
import { unwrap } from "../../api/client";
import { Card } from "../../components/Card";
import { OverviewMetrics } from "../../components/OverviewMetrics";
import { PageHeader } from "../../components/PageHeader";
import { PlainList, PlainListItem } from "../../components/PlainList";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";
import { useLive } from "../../live/LiveProvider";

/** Exchanges emit no events, so the figures are polled. */
const REFETCH_INTERVAL_MS = 5_000;
const MAX_EVENTS_SHOWN = 50;

export function OverviewPage() {
  const { api } = useAuth();
  const query = useQuery({
    queryKey: ["overview"],
    queryFn: () => unwrap(api.GET("/v1/overview")),
    refetchInterval: REFETCH_INTERVAL_MS,
  });
  return (
    <Stack>
      <PageHeader title={t.pages.overview} />
      <QueryState query={query}>{(overview) => <OverviewMetrics overview={overview} />}</QueryState>
      <EventsCard />
    </Stack>
  );
}

/** The tenant's events since the page was opened, newest first. */
function EventsCard() {
  const { events } = useLive();
  return (
    <Card title={t.overview.events}>
      {events.length === 0 ? (
        <Text c="dimmed">{t.overview.noEvents}</Text>
      ) : (
        <PlainList>
          {events.slice(0, MAX_EVENTS_SHOWN).map((event) => (
            <PlainListItem key={event.seq}>
              <Timestamp at={event.created_at} />{" "}
              <b className={event.kind === "collision.detected" ? "diff-old" : undefined}>
                {event.kind}
              </b>{" "}
              <code>{JSON.stringify(event.detail)}</code>
            </PlainListItem>
          ))}
        </PlainList>
      )}
    </Card>
  );
}
