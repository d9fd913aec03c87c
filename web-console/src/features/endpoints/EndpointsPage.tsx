import { Stack, Table, Text, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { canOperate, useAuth } from "../../api/AuthContext";
import { type Api, type Endpoint, fetchAllPages } from "../../api/client";
import { DataTable } from "../../components/DataTable";
import { PageHeader } from "../../components/PageHeader";
import { QueryState } from "../../components/QueryState";
import { StateBadge } from "../../components/StateBadge";
import { Timestamp } from "../../components/Timestamp";
import { fromBase64, sha256, toHex } from "../../lib/crypto";
import { t } from "../../lib/strings";
import { EnrolAgentDialog } from "./EnrolAgentDialog";
import { RevokeEndpointDialog } from "./RevokeEndpointDialog";
import { StartsDialog } from "./StartsDialog";

const COLUMNS = [
  t.name,
  t.role,
  t.state,
  t.endpoints.seen,
  t.version,
  t.endpoints.fingerprint,
  t.endpoints.error,
];

export function EndpointsPage() {
  const auth = useAuth();
  const query = useQuery({
    queryKey: ["endpoints"],
    queryFn: () => fetchEndpoints(auth.api),
  });
  return (
    <Stack>
      <PageHeader title={t.pages.endpoints}>{canOperate(auth) && <EnrolAgentDialog />}</PageHeader>
      <QueryState query={query} emptyText={t.endpoints.none}>
        {(endpoints) => (
          <DataTable hasActions columns={COLUMNS}>
            {endpoints.map(({ endpoint, fingerprint }) => (
              <EndpointRow key={endpoint.id} endpoint={endpoint} fingerprint={fingerprint} />
            ))}
          </DataTable>
        )}
      </QueryState>
    </Stack>
  );
}

function EndpointRow(props: { endpoint: Endpoint; fingerprint: string }) {
  const auth = useAuth();
  const { endpoint, fingerprint } = props;
  return (
    <Table.Tr>
      <Table.Th scope="row">{endpoint.name}</Table.Th>
      <Table.Td>{endpoint.role}</Table.Td>
      <Table.Td>
        <StateBadge state={health(endpoint)} />
        {endpoint.plain_calls != null && (
          <Text size="xs">{t.endpoints.permissive(endpoint.plain_calls)}</Text>
        )}
      </Table.Td>
      <Table.Td>
        <Timestamp at={endpoint.last_seen_at} />
      </Table.Td>
      <Table.Td>{endpoint.version}</Table.Td>
      <Table.Td>
        <Tooltip label={fingerprint}>
          <code tabIndex={0}>{fingerprint.slice(0, 16)}…</code>
        </Tooltip>
      </Table.Td>
      <Table.Td>
        {endpoint.last_error ? (
          <>
            <Timestamp at={endpoint.last_error_at} /> {endpoint.last_error}
          </>
        ) : (
          t.endpoints.noError
        )}
      </Table.Td>
      <Table.Td>
        <StartsDialog endpoint={endpoint} />
        {canOperate(auth) && endpoint.state === "active" && (
          <RevokeEndpointDialog endpoint={endpoint} />
        )}
      </Table.Td>
    </Table.Tr>
  );
}

function health(endpoint: Endpoint): string {
  if (endpoint.state === "revoked") {
    return t.endpoints.revoked;
  }
  if (endpoint.state === "collided") {
    return t.endpoints.collided;
  }
  return endpoint.lost_at ? t.endpoints.lost : t.endpoints.healthy;
}

/** Every endpoint, with the SHA-256 fingerprint of its signing key. */
async function fetchEndpoints(api: Api): Promise<{ endpoint: Endpoint; fingerprint: string }[]> {
  const endpoints = await fetchAllPages<Endpoint>((query) =>
    api.GET("/v1/endpoints", { params: { query } }),
  );
  return Promise.all(
    endpoints.map(async (endpoint) => ({
      endpoint,
      fingerprint: toHex(await sha256(fromBase64(endpoint.signing_key))),
    })),
  );
}
