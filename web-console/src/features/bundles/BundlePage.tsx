import { Stack, Text } from "@mantine/core";
import { Link, useParams } from "@tanstack/react-router";

import { Card } from "../../components/Card";
import { PageHeader } from "../../components/PageHeader";
import { PairActions } from "../../components/PairActions";
import { QueryState } from "../../components/QueryState";
import { StateBadge } from "../../components/StateBadge";
import { t } from "../../lib/strings";
import { AcknowledgementsCard } from "./AcknowledgementsCard";
import { CollisionEvidence } from "./CollisionEvidence";
import { LaneChart } from "./LaneChart";
import { useBundle } from "./useBundle";

export function BundlePage() {
  const { id } = useParams({ from: "/bundles/$id" });
  const query = useBundle(id);
  return (
    <QueryState query={query}>
      {({ bundle, pair, etag, lanes, subHeads, collision, acknowledgements }) => (
        <Stack>
          <PageHeader title={`${t.bundle.title}: ${pair.consumer_name} → ${pair.producer_name}`}>
            <StateBadge state={bundle.state} />
            {bundle.state === "disconnected" && pair.state === "disconnected" && (
              <PairActions pair={pair} etag={etag} />
            )}
          </PageHeader>
          <Text>
            <code>{bundle.id}</code> · {t.bundle.exchanges}: {bundle.exchanges.toLocaleString()} ·{" "}
            <Link to="/pairs/$id" params={{ id: pair.id }}>
              {t.bundle.pair}
            </Link>
          </Text>
          {collision && <CollisionEvidence collision={collision} />}
          {bundle.state === "disconnected" && (
            <AcknowledgementsCard bundle={bundle} acknowledgements={acknowledgements} />
          )}
          <Card title={t.bundle.lanes}>
            {lanes.length === 0 ? (
              <Text c="dimmed">{t.bundle.noLanes}</Text>
            ) : (
              <Stack>
                <Text size="sm" c="dimmed">
                  {t.bundle.legend}
                </Text>
                {lanes.map(({ lane }) => (
                  <LaneChart
                    key={lane}
                    bundle={bundle}
                    lane={lane}
                    rekeyed={subHeads.find((head) => head.lane === lane)}
                    collision={collision}
                  />
                ))}
              </Stack>
            )}
          </Card>
        </Stack>
      )}
    </QueryState>
  );
}
