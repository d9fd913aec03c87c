import { Group, Table, TextInput } from "@mantine/core";
import { useInputState } from "@mantine/hooks";
import { Link } from "@tanstack/react-router";

import { useAuth } from "../../api/AuthContext";
import { unwrap } from "../../api/client";
import { ActionDialog } from "../../components/ActionDialog";
import { Card } from "../../components/Card";
import { DataTable } from "../../components/DataTable";
import { LoadMoreButton } from "../../components/LoadMoreButton";
import { NameInput } from "../../components/NameInput";
import { OneTimeSecret } from "../../components/OneTimeSecret";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";
import { useTenants } from "./useTenants";

const COLUMNS = [t.name, t.system.id, t.system.since, t.state];

/** The tenants that match a search, and a button to create one. */
export function TenantsCard() {
  const [search, setSearch] = useInputState("");
  const query = useTenants(search);
  return (
    <Card title={t.system.tenants}>
      <Group justify="space-between" align="end" mb="sm">
        <TextInput
          label={t.system.searchTenants}
          maxLength={100}
          value={search}
          onChange={setSearch}
        />
        <NewTenantDialog />
      </Group>
      <QueryState query={query}>
        {(tenants) => (
          <DataTable columns={COLUMNS}>
            {tenants.map((tenant) => (
              <Table.Tr key={tenant.id}>
                <Table.Th scope="row">
                  <Link to="/tenants/$id" params={{ id: tenant.id }}>
                    {tenant.name}
                  </Link>
                </Table.Th>
                <Table.Td>
                  <code>{tenant.id}</code>
                </Table.Td>
                <Table.Td>
                  <Timestamp at={tenant.created_at} />
                </Table.Td>
                <Table.Td>{tenant.deleted_at ? t.tenant.deleted : t.tenant.active}</Table.Td>
              </Table.Tr>
            ))}
          </DataTable>
        )}
      </QueryState>
      <LoadMoreButton query={query} mt="sm" />
    </Card>
  );
}

function NewTenantDialog() {
  const { api } = useAuth();
  const [name, setName] = useInputState("");
  return (
    <ActionDialog
      label={t.system.createTenant}
      submitLabel={t.create}
      primary
      onSubmit={async () => {
        const { token } = await unwrap(api.POST("/v1/tenants", { body: { name } }));
        return <OneTimeSecret label={name} text={token} />;
      }}
    >
      <NameInput value={name} onChange={setName} data-autofocus />
    </ActionDialog>
  );
}
