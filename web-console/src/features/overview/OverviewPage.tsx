import { Paper, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { unwrap } from "../../api/client";
import { useLive } from "../../live/LiveProvider";
import { useAuth } from "../../api/AuthContext";
import { OverviewMetrics } from "../../components/OverviewMetrics";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";

/** How often the figures are read anew, in milliseconds. */
const REFETCH_INTERVAL_MS = 5_000;

export function OverviewPage() {
  const auth = useAuth();
  const { events } = useLive();
  const query = useQuery({
    queryKey: ["overview"],
    queryFn: () => unwrap(auth.api.GET("/v1/overview")),
    refetchInterval: REFETCH_INTERVAL_MS,
  });
  return (
    <Stack>
      <Title order={2}>{t.pages.overview}</Title>
      <QueryState query={query}>{(now) => <OverviewMetrics overview={now} />}</QueryState>
      <Paper withBorder p="md">
        <Title order={3} size="h4" mb="sm">
          {t.overview.events}
        </Title>
        {events.length === 0 ? (
          <Text c="dimmed">{t.overview.noEvents}</Text>
        ) : (
          <Stack gap={4} component="ul" m={0} p={0} style={{ listStyle: "none" }}>
            {events.slice(0, 50).map((event) => (
              <Text key={event.seq} component="li" size="sm">
                <Timestamp at={event.created_at} />{" "}
                <b className={event.kind === "collision.detected" ? "diff-old" : undefined}>
                  {event.kind}
                </b>{" "}
                <code>{JSON.stringify(event.detail)}</code>
              </Text>
            ))}
          </Stack>
        )}
      </Paper>
    </Stack>
  );
}
