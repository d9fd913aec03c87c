import { Paper, SimpleGrid, Text, Title } from "@mantine/core";
import { CatchBoundary } from "@tanstack/react-router";
import { Suspense, lazy, useEffect, useRef, useState } from "react";

import type { components } from "../api/schema";
import { t } from "../lib/strings";
import { Failed } from "./Said";

const Days = lazy(() => import("./Days"));

/** A tenant in figures. */
export function Figures(props: { now: components["schemas"]["Overview"] }) {
  const { now } = props;
  const rate = useRate(now.exchanges, now.counted_at);
  return (
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
