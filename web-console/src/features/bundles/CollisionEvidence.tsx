import { Alert, Button, SimpleGrid, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { useAuth } from "../../api/AuthContext";
import { type Collision, unwrap } from "../../api/client";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";
import { isContradiction } from "./laneEvidence";

/** The two messages of a collision side by side, their signatures verified in this browser. */
export function CollisionEvidence(props: { collision: Collision }) {
  const { api } = useAuth();
  const { collision } = props;
  const query = useQuery({
    queryKey: ["evidence", collision.id],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async () => {
      const evidence = await unwrap(
        api.GET("/v1/collisions/{id}/evidence", { params: { path: { id: collision.id } } }),
      );
      return { evidence, isContradiction: await isContradiction(evidence) };
    },
  });
  const messages = [
    { label: t.bundle.recordedMessage, message: collision.recorded },
    { label: t.bundle.conflictingMessage, message: collision.reported },
  ];
  return (
    <Alert
      color="red"
      variant="light"
      title={`${t.bundle.evidence}: ${t.collisions[collision.kind]}`}
      data-testid="evidence"
    >
      <Stack>
        <Text>
          <Timestamp at={collision.detected_at} />
          {` · ${t.collisions.ended[collision.role]}`}
          {collision.host && ` (${t.collisions.process(collision.host, collision.process)})`}
          {collision.lane != null &&
            ` · ${t.bundle.lane(collision.lane)}, ${t.bundle.exchange} ${collision.n}`}
          {collision.k != null && `, ${t.bundle.subTicket} ${collision.k}`}
        </Text>
        <SimpleGrid cols={{ base: 1, md: 2 }}>
          {messages.map(
            ({ label, message }) =>
              message && (
                <div key={label}>
                  <Text fw={600}>{label}</Text>
                  <div className="evidence">{message}</div>
                </div>
              ),
          )}
        </SimpleGrid>
        <QueryState query={query}>
          {({ evidence, isContradiction }) => (
            <>
              <Text fw={600} data-testid="verdict">
                {isContradiction === undefined
                  ? t.bundle.checkElsewhere
                  : isContradiction
                    ? t.bundle.signed[collision.role]
                    : t.bundle.notSigned}
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
                {t.export}
              </Button>
            </>
          )}
        </QueryState>
      </Stack>
    </Alert>
  );
}
