import { Paper, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { CatchBoundary } from "@tanstack/react-router";
import { Suspense, lazy, useEffect, useRef, useState } from "react";

import { answer } from "../api/client";
import { useLive } from "../live/useLive";
import { useMe } from "../me";
import { Answered, Failed } from "../parts/Said";
import { Time } from "../parts/Time";
import { t } from "../strings";

const Days = lazy(() => import("../parts/Days"));

/** How often the figures are read anew, in milliseconds. */
const EVERY = 5_000;

export function Overview() {
  const me = useMe();
  const { events } = useLive();
  const query = useQuery({
    queryKey: ["overview"],
    queryFn: () => answer(me.api.GET("/v1/overview")),
    refetchInterval: EVERY,
  });
  const rate = useRate(query.data?.exchanges, query.data?.counted_at);
  return (
    <Stack>
      <Title order={2}>{t.pages.overview}</Title>
      <Answered query={query}>
        {(now) => (
          <>
            <SimpleGrid cols={{ base: 2, md: 4 }}>
              <Figure label={t.overview.pairs} value={now.pairs_active} />
              <Figure label={t.overview.disconnected} value={now.pairs_disconnected} />
              <Figure label={t.overview.endpoints} value={now.endpoints_healthy} />
              <Figure label={t.overview.lost} value={now.endpoints_lost} />
              <Figure label={t.overview.rate} value={rate} />
              <Figure label={t.overview.total} value={now.exchanges} />
              <Figure
                label={`${t.overview.obeyed}, ${t.overview.median}`}
                value={milliseconds(now.obeyed_after_ms_median)}
              />
              <Figure
                label={`${t.overview.obeyed}, ${t.overview.p99}`}
                value={milliseconds(now.obeyed_after_ms_p99)}
              />
            </SimpleGrid>
            <Paper withBorder p="md">
              <Title order={3} size="h4" mb="sm">
                {t.overview.collisions}
              </Title>
              {now.collisions.length === 0 ? (
                <Text c="dimmed">{t.overview.noCollisions}</Text>
              ) : (
                <CatchBoundary getResetKey={() => "days"} errorComponent={Failed}>
                  <Suspense fallback={<Text>{t.loading}</Text>}>
                    <Days days={now.collisions} />
                  </Suspense>
                </CatchBoundary>
              )}
            </Paper>
          </>
        )}
      </Answered>
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
                <Time at={event.created_at} />{" "}
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

function Figure(props: { label: string; value: number | string | undefined }) {
  const { value } = props;
  return (
    <Paper withBorder p="md">
      <Text size="sm" c="dimmed">
        {props.label}
      </Text>
      <Text size="xl" fw={700}>
        {typeof value === "number" ? value.toLocaleString() : (value ?? "–")}
      </Text>
    </Paper>
  );
}

function milliseconds(ms: number | null | undefined): string | undefined {
  return ms == null ? undefined : `${Math.round(ms).toLocaleString()} ms`;
}

/** How fast a counter grows, from what it was at the reading before. */
function useRate(count: number | undefined, at: string | undefined): number | undefined {
  const before = useRef<{ count: number; at: number }>(undefined);
  const [rate, setRate] = useState<number>();
  useEffect(() => {
    if (count === undefined || at === undefined) {
      return;
    }
    const now = { count, at: Date.parse(at) };
    const last = before.current;
    if (last && now.at - last.at >= 1_000) {
      setRate(Math.round((10_000 * (now.count - last.count)) / (now.at - last.at)) / 10);
    }
    if (!last || now.at - last.at >= 1_000) {
      before.current = now;
    }
  }, [count, at]);
  return rate;
}
