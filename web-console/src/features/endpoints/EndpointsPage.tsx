import { Group, Select, Stack, Table, Title, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { type Endpoint, type Party, fetchAllPages, unwrap } from "../../api/client";
import { fromBase64, sha256, toHex } from "../../lib/crypto";
import { canOperate, useAuth } from "../../api/AuthContext";
import { ActionDialog, ReasonDialog } from "../../components/ActionDialog";
import { DataTable } from "../../components/DataTable";
import { QueryState } from "../../components/QueryState";
import { OneTimeSecret } from "../../components/OneTimeSecret";
import { StateBadge } from "../../components/StateBadge";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";

export function EndpointsPage() {
  const auth = useAuth();
  const query = useQuery({
    queryKey: ["endpoints"],
    queryFn: async () => {
      const endpoints = await fetchAllPages<Endpoint>((query) =>
        auth.api.GET("/v1/endpoints", {
          params: { query },
        }),
      );
      return Promise.all(
        endpoints.map(async (endpoint) => ({
          endpoint,
          fingerprint: toHex(await sha256(fromBase64(endpoint.signing_key))),
        })),
      );
    },
  });
  return (
    <Stack>
      <Group justify="space-between">
        <Title order={2}>{t.pages.endpoints}</Title>
        {canOperate(auth) && <EnrolDialog />}
      </Group>
      <QueryState query={query} emptyText={t.endpoints.none}>
        {(endpoints) => (
          <DataTable
            hasActions
            columns={[
              t.endpoints.name,
              t.endpoints.role,
              t.endpoints.state,
              t.endpoints.seen,
              t.endpoints.version,
              t.endpoints.fingerprint,
              t.endpoints.error,
            ]}
          >
            {endpoints.map(({ endpoint, fingerprint }) => (
              <Table.Tr key={endpoint.id}>
                <Table.Th scope="row">{endpoint.name}</Table.Th>
                <Table.Td>{endpoint.role}</Table.Td>
                <Table.Td>
                  <StateBadge
                    state={
                      endpoint.state === "revoked"
                        ? t.endpoints.revoked
                        : endpoint.lost_at
                          ? t.endpoints.lost
                          : t.endpoints.healthy
                    }
                  />
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
                  {canOperate(auth) && endpoint.state === "active" && (
                    <ReasonDialog
                      label={t.endpoints.revoke}
                      hint={t.endpoints.revokeHint}
                      danger
                      confirmText={endpoint.name}
                      onSubmit={async (reason) => {
                        await unwrap(
                          auth.api.POST("/v1/endpoints/{id}/revoke", {
                            params: { path: { id: endpoint.id } },
                            body: { reason },
                          }),
                        );
                      }}
                    />
                  )}
                </Table.Td>
              </Table.Tr>
            ))}
          </DataTable>
        )}
      </QueryState>
    </Stack>
  );
}

/** A one-use token for an agent of a producer or a consumer. */
function EnrolDialog() {
  const { api } = useAuth();
  const [chosen, setChosen] = useState<string | null>(null);
  const query = useQuery({
    queryKey: ["parties"],
    queryFn: async () => {
      const of = async (side: "consumer" | "producer") => {
        const path = `/v1/${side}s` as const;
        const parties = await fetchAllPages<Party>((query) => api.GET(path, { params: { query } }));
        return parties.map(({ id, name }) => ({
          value: `${side}:${id}`,
          label: `${name} (${side})`,
        }));
      };
      return [...(await of("consumer")), ...(await of("producer"))];
    },
  });
  return (
    <ActionDialog
      label={t.endpoints.enrol}
      submitLabel={t.create}
      primary
      onSubmit={async () => {
        const [side, id] = (chosen ?? ":").split(":");
        const { token } = await unwrap(
          api.POST("/v1/enrolment-tokens", {
            body: { role: side === "producer" ? "producer" : "consumer", party_id: id ?? "" },
          }),
        );
        return <OneTimeSecret label={t.endpoints.token} text={token} />;
      }}
    >
      <Select
        label={t.endpoints.party}
        required
        searchable
        data={query.data ?? []}
        value={chosen}
        onChange={setChosen}
      />
    </ActionDialog>
  );
}
