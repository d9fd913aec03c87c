import { Paper, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { answer } from "../../api/client";
import { useLive } from "../../live/useLive";
import { useMe } from "../../api/me";
import { Figures } from "../../components/Figures";
import { Answered } from "../../components/Said";
import { Time } from "../../components/Time";
import { t } from "../../lib/strings";

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
  return (
    <Stack>
      <Title order={2}>{t.pages.overview}</Title>
      <Answered query={query}>{(now) => <Figures now={now} />}</Answered>
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
