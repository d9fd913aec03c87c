import { Paper, SimpleGrid, Text, Title } from "@mantine/core";
import { CatchBoundary } from "@tanstack/react-router";
import { Suspense, lazy, useEffect, useRef, useState } from "react";

import type { components } from "../api/schema";
import { t } from "../lib/strings";
import { LoadError } from "./ErrorAlert";

const DailyBarChart = lazy(() => import("./DailyBarChart"));

/** A tenant in figures. */
export function OverviewMetrics(props: { overview: components["schemas"]["Overview"] }) {
  const { overview } = props;
  const rate = useRate(overview.exchanges, overview.counted_at);
  return (
    <>
      <SimpleGrid cols={{ base: 2, md: 4 }}>
        <Metric label={t.overview.pairs} value={overview.pairs_active} />
        <Metric label={t.overview.disconnected} value={overview.pairs_disconnected} />
        <Metric label={t.overview.endpoints} value={overview.endpoints_healthy} />
        <Metric label={t.overview.lost} value={overview.endpoints_lost} />
        <Metric label={t.overview.rate} value={rate} />
        <Metric label={t.overview.total} value={overview.exchanges} />
        <Metric
          label={`${t.overview.obeyed}, ${t.overview.median}`}
          value={milliseconds(overview.obeyed_after_ms_median)}
        />
        <Metric
          label={`${t.overview.obeyed}, ${t.overview.p99}`}
          value={milliseconds(overview.obeyed_after_ms_p99)}
        />
      </SimpleGrid>
      <Paper withBorder p="md">
        <Title order={3} size="h4" mb="sm">
          {t.overview.collisions}
        </Title>
        {overview.collisions.length === 0 ? (
          <Text c="dimmed">{t.overview.noCollisions}</Text>
        ) : (
          <CatchBoundary getResetKey={() => "days"} errorComponent={LoadError}>
            <Suspense fallback={<Text>{t.loading}</Text>}>
              <DailyBarChart days={overview.collisions} />
            </Suspense>
          </CatchBoundary>
        )}
      </Paper>
    </>
  );
}

function Metric(props: { label: string; value: number | string | undefined }) {
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
function useRate(count: number, at: string): number | undefined {
  const before = useRef<{ count: number; at: number }>(undefined);
  const [rate, setRate] = useState<number>();
  useEffect(() => {
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
