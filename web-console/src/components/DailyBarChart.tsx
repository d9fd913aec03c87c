import { Bar, BarChart, CartesianGrid, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";

import { t } from "../lib/strings";

/** How many days are shown, up to today. */
const DAYS = 30;
const DAY_MS = 86_400_000;
const TICK = { fill: "var(--mantine-color-dimmed)", fontSize: 12 };

/** Collisions by day; a day that is not in the list had none. */
export default function DailyBarChart(props: { days: { day: string; count: number }[] }) {
  const counts = new Map(props.days.map(({ day, count }) => [day, count]));
  const data = Array.from({ length: DAYS }, (_, index) => {
    const date = new Date(Date.now() - (DAYS - 1 - index) * DAY_MS);
    const day = date.toISOString().slice(0, 10);
    return { day, count: counts.get(day) ?? 0 };
  });
  const total = props.days.reduce((sum, { count }) => sum + count, 0);
  return (
    <div role="img" aria-label={t.overview.collisionCount(total, DAYS)}>
      <ResponsiveContainer width="100%" height={180}>
        <BarChart data={data} accessibilityLayer={false}>
          <CartesianGrid vertical={false} stroke="var(--mantine-color-default-border)" />
          <XAxis dataKey="day" tick={TICK} />
          <YAxis allowDecimals={false} width={30} tick={TICK} />
          <Tooltip />
          <Bar dataKey="count" fill="var(--mantine-color-red-filled)" isAnimationActive={false} />
        </BarChart>
      </ResponsiveContainer>
    </div>
  );
}
