import { Group, Stack, Table } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { canAdminister, useAuth } from "../../api/AuthContext";
import { type ApiToken, fetchAllPages, unwrap, unwrapEmpty } from "../../api/client";
import { ActionDialog } from "../../components/ActionDialog";
import { DataTable } from "../../components/DataTable";
import { OneTimeSecret } from "../../components/OneTimeSecret";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";
import { NewApiTokenDialog } from "./NewApiTokenDialog";

const COLUMNS = [t.name, t.role, t.access.prefix, t.access.lastUsed, t.access.expires];
/** How long a rotated token is still accepted. */
const OVERLAP_S = 3600;

export function ApiTokensTab() {
  const auth = useAuth();
  const query = useQuery({
    queryKey: ["api-tokens"],
    queryFn: () => fetchAllPages((query) => auth.api.GET("/v1/api-tokens", { params: { query } })),
  });
  return (
    <Stack>
      {canAdminister(auth) && (
        <Group justify="flex-end">
          <NewApiTokenDialog />
        </Group>
      )}
      <QueryState query={query} emptyText={t.access.noTokens}>
        {(tokens) => (
          <DataTable hasActions columns={COLUMNS}>
            {tokens
              .filter((token) => !token.revoked_at)
              .map((token) => (
                <Table.Tr key={token.id}>
                  <Table.Th scope="row">{token.name}</Table.Th>
                  <Table.Td>{token.role}</Table.Td>
                  <Table.Td>
                    <code>{token.prefix.slice(0, 24)}…</code>
                  </Table.Td>
                  <Table.Td>
                    <Timestamp at={token.last_used_at} emptyText={t.access.never} />
                  </Table.Td>
                  <Table.Td>
                    <Timestamp at={token.expires_at} emptyText={t.access.never} />
                  </Table.Td>
                  <Table.Td>{canAdminister(auth) && <TokenActions token={token} />}</Table.Td>
                </Table.Tr>
              ))}
          </DataTable>
        )}
      </QueryState>
    </Stack>
  );
}

function TokenActions(props: { token: ApiToken }) {
  const { api } = useAuth();
  const { token } = props;
  const path = { params: { path: { id: token.id } } };
  return (
    <Group gap="xs" wrap="nowrap">
      <ActionDialog
        label={t.access.rotate}
        title={`${t.access.rotate}: ${token.name}`}
        onSubmit={async () => {
          const created = await unwrap(
            api.POST("/v1/api-tokens/{id}/rotate", { ...path, body: { overlap_s: OVERLAP_S } }),
          );
          return <OneTimeSecret label={token.name} text={created.token} />;
        }}
      />
      <ActionDialog
        label={t.revoke}
        title={`${t.revoke}: ${token.name}`}
        danger
        confirmText={token.name}
        onSubmit={() => unwrapEmpty(api.DELETE("/v1/api-tokens/{id}", path))}
      />
    </Group>
  );
}
