import { Alert, Button, SimpleGrid, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { useAuth } from "../../api/AuthContext";
import { type Api, type Collision, type Evidence, unwrap } from "../../api/client";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";
import { isTicketSigned } from "./ticketSignature";

/** The tickets of a collision side by side, their signatures verified in this browser. */
export function CollisionEvidence(props: { collision: Collision }) {
  const { api } = useAuth();
  const { collision } = props;
  const query = useQuery({
    queryKey: ["evidence", collision.id],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () => fetchEvidence(api, collision.id),
  });
  const tickets = [
    { label: t.bundle.recordedTicket, ticket: collision.recorded },
    { label: t.bundle.conflictingTicket, ticket: collision.reported },
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
          {collision.kind !== "usurped" &&
            ` · ${t.bundle.lane(collision.lane)}, ${t.bundle.ticket} ${collision.n}`}
        </Text>
        <SimpleGrid cols={{ base: 1, md: 2 }}>
          {tickets.map(
            ({ label, ticket }) =>
              ticket && (
                <div key={label}>
                  <Text fw={600}>{label}</Text>
                  <div className="evidence">{ticket}</div>
                </div>
              ),
          )}
        </SimpleGrid>
        <QueryState query={query}>
          {({ evidence, ticketCount, areSigned }) => (
            <>
              <Text fw={600} data-testid="verdict">
                {areSigned ? t.bundle.signed[ticketCount] : t.bundle.notSigned}
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

/** The evidence, and whether the consumer's key signed every ticket in it. */
async function fetchEvidence(
  api: Api,
  id: string,
): Promise<{ evidence: Evidence; ticketCount: number; areSigned: boolean }> {
  const evidence = await unwrap(
    api.GET("/v1/collisions/{id}/evidence", { params: { path: { id } } }),
  );
  const { recorded, reported } = evidence.collision;
  const tickets = [recorded, reported].filter((ticket) => ticket != null);
  const signed = await Promise.all(
    tickets.map((ticket) => isTicketSigned(evidence.consumer_signing_key, ticket)),
  );
  return { evidence, ticketCount: tickets.length, areSigned: signed.every(Boolean) };
}
