import { Paper, SimpleGrid, Text } from "@mantine/core";
import { CatchBoundary } from "@tanstack/react-router";
import { Suspense, lazy, useEffect, useRef, useState } from "react";

import type { Overview } from "../api/client";
import { t } from "../lib/strings";
import { Card } from "./Card";
import { LoadError } from "./ErrorAlert";

const DailyBarChart = lazy(() => import("./DailyBarChart"));

/** Between readings closer than this the rate would be too inexact. */
const MIN_RATE_INTERVAL_MS = 1_000;

/** A tenant's figures: pairs, endpoints, exchanges, and collisions by day. */
export function OverviewMetrics(props: { overview: Overview }) {
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
          label={t.overview.disconnectP50}
          value={milliseconds(overview.obeyed_after_ms_median)}
        />
        <Metric
          label={t.overview.disconnectP99}
          value={milliseconds(overview.obeyed_after_ms_p99)}
        />
      </SimpleGrid>
      <Card title={t.overview.collisions}>
        {overview.collisions.length === 0 ? (
          <Text c="dimmed">{t.overview.noCollisions}</Text>
        ) : (
          <CatchBoundary getResetKey={() => "days"} errorComponent={LoadError}>
            <Suspense fallback={<Text>{t.loading}</Text>}>
              <DailyBarChart days={overview.collisions} />
            </Suspense>
          </CatchBoundary>
        )}
      </Card>
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

/** A counter's growth per second, from its last two readings. */
function useRate(count: number, at: string): number | undefined {
  const previous = useRef<{ count: number; at: number }>(undefined);
  const [rate, setRate] = useState<number>();
  useEffect(() => {
    const now = { count, at: Date.parse(at) };
    const last = previous.current;
    if (last && now.at - last.at < MIN_RATE_INTERVAL_MS) {
      return;
    }
    if (last) {
      setRate(Math.round((10_000 * (now.count - last.count)) / (now.at - last.at)) / 10);
    }
    previous.current = now;
  }, [count, at]);
  return rate;
}
