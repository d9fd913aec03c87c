import {
  Button,
  Group,
  Paper,
  SimpleGrid,
  Stack,
  Table,
  Text,
  TextInput,
  Title,
} from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";

import { unwrap } from "../../api/client";
import { useAuth } from "../../api/AuthContext";
import { ActionDialog } from "../../components/ActionDialog";
import { DataTable } from "../../components/DataTable";
import { QueryState } from "../../components/QueryState";
import { OneTimeSecret } from "../../components/OneTimeSecret";
import { Timestamp } from "../../components/Timestamp";
import { useTenants } from "./useTenants";
import { t } from "../../lib/strings";

export function SystemPage() {
  const { api } = useAuth();
  const system = useQuery({
    queryKey: ["system"],
    refetchInterval: 5_000,
    queryFn: () => unwrap(api.GET("/v1/platform/system")),
  });
  const keys = useQuery({
    queryKey: ["master-keys"],
    queryFn: () => unwrap(api.GET("/v1/platform/master-keys")),
  });
  return (
    <Stack>
      <Title order={2}>{t.pages.system}</Title>
      <QueryState query={system}>
        {(now) => (
          <SimpleGrid cols={{ base: 1, md: 2 }}>
            <Card title={t.system.replicas}>
              <Table>
                <Table.Tbody>
                  {now.replicas.map((replica) => (
                    <Table.Tr key={replica.id}>
                      <Table.Th scope="row">
                        <code>{replica.id}</code>
                      </Table.Th>
                      <Table.Td>{replica.version}</Table.Td>
                      <Table.Td>
                        {t.system.since} <Timestamp at={replica.started_at} />
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Card>
            <Card title={t.system.database}>
              <Text>
                PostgreSQL {now.database_version}, {(now.database_bytes / 2 ** 20).toFixed(1)} MiB
              </Text>
              <Text>
                {t.system.migrations}: {now.migrations.join(", ")}
              </Text>
              <Text>
                {t.system.waiting}:{" "}
                {now.waiting_since ? (
                  <>
                    {now.tenants_waiting} <Timestamp at={now.waiting_since} />
                  </>
                ) : (
                  t.system.nothingWaits
                )}
              </Text>
            </Card>
          </SimpleGrid>
        )}
      </QueryState>
      <Card title={t.system.keys}>
        <QueryState query={keys}>
          {(versions) => (
            <Table>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t.system.version}</Table.Th>
                  <Table.Th>{t.system.state}</Table.Th>
                  <Table.Th>{t.system.loaded}</Table.Th>
                  <Table.Th>{t.system.since}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {versions.map((key) => (
                  <Table.Tr key={key.version}>
                    <Table.Th scope="row">{key.version}</Table.Th>
                    <Table.Td>{key.state}</Table.Td>
                    <Table.Td>{key.loaded ? t.system.yes : t.system.no}</Table.Td>
                    <Table.Td>
                      <Timestamp at={key.created_at} />
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )}
        </QueryState>
      </Card>
      <Tenants />
    </Stack>
  );
}

function Tenants() {
  const { api } = useAuth();
  const [name, setName] = useState("");
  const [search, setSearch] = useState("");
  const query = useTenants(search);
  return (
    <Card title={t.system.tenants}>
      <Group justify="space-between" align="end" mb="sm">
        <TextInput
          label={t.system.searchTenants}
          maxLength={100}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
        <ActionDialog
          label={t.system.createTenant}
          submitLabel={t.create}
          primary
          onSubmit={async () => {
            const { token } = await unwrap(api.POST("/v1/tenants", { body: { name } }));
            return <OneTimeSecret label={name} text={token} />;
          }}
        >
          <TextInput
            label={t.access.name}
            required
            maxLength={100}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            data-autofocus
          />
        </ActionDialog>
      </Group>
      {query.data === undefined ? (
        <QueryState query={query}>{() => null}</QueryState>
      ) : (
        <DataTable columns={[t.access.name, t.system.id, t.system.since, t.system.state]}>
          {query.data.map((tenant) => (
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
      {query.hasNextPage && (
        <Button
          mt="sm"
          variant="default"
          loading={query.isFetchingNextPage}
          onClick={() => void query.fetchNextPage()}
        >
          {t.more}
        </Button>
      )}
    </Card>
  );
}

function Card(props: { title: string; children: React.ReactNode }) {
  return (
    <Paper withBorder p="md">
      <Title order={3} size="h4" mb="sm">
        {props.title}
      </Title>
      {props.children}
    </Paper>
  );
}
