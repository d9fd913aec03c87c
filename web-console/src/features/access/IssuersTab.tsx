import { Group, Stack, Table } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { canAdminister, useAuth } from "../../api/AuthContext";
import { unwrap, unwrapEmpty } from "../../api/client";
import { ActionDialog } from "../../components/ActionDialog";
import { DataTable } from "../../components/DataTable";
import { QueryState } from "../../components/QueryState";
import { t } from "../../lib/strings";
import { NewIssuerDialog } from "./NewIssuerDialog";

const COLUMNS = [t.name, t.kind, t.access.url, t.access.client, t.role];

/** The OpenID issuers that the tenant trusts for people and workloads. */
export function IssuersTab() {
  const auth = useAuth();
  const query = useQuery({
    queryKey: ["issuers"],
    queryFn: () => unwrap(auth.api.GET("/v1/issuers")),
  });
  return (
    <Stack>
      {canAdminister(auth) && (
        <Group justify="flex-end">
          <NewIssuerDialog />
        </Group>
      )}
      <QueryState query={query} emptyText={t.access.noIssuers}>
        {(issuers) => (
          <DataTable hasActions columns={COLUMNS}>
            {issuers.map((issuer) => (
              <Table.Tr key={issuer.id}>
                <Table.Th scope="row">{issuer.name}</Table.Th>
                <Table.Td>{issuer.kind}</Table.Td>
                <Table.Td>{issuer.url}</Table.Td>
                <Table.Td>{issuer.audience}</Table.Td>
                <Table.Td>
                  {Object.entries(issuer.role_map).map(([group, role]) => (
                    <div key={group}>
                      {group} → {role}
                    </div>
                  ))}
                </Table.Td>
                <Table.Td>
                  {canAdminister(auth) && (
                    <ActionDialog
                      label={t.remove}
                      title={`${t.remove}: ${issuer.name}`}
                      danger
                      confirmText={issuer.name}
                      onSubmit={() => {
                        const path = { id: issuer.id };
                        return unwrapEmpty(
                          auth.api.DELETE("/v1/issuers/{id}", { params: { path } }),
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
