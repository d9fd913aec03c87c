import { SimpleGrid, Stack, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { useAuth } from "../../api/AuthContext";
import { type KeyVersion, type System, unwrap } from "../../api/client";
import { Card } from "../../components/Card";
import { PageHeader } from "../../components/PageHeader";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";
import { TenantsCard } from "./TenantsCard";

const REFETCH_INTERVAL_MS = 5_000;

/** The service as platform administrators see it. */
export function SystemPage() {
  const { api } = useAuth();
  const system = useQuery({
    queryKey: ["system"],
    refetchInterval: REFETCH_INTERVAL_MS,
    queryFn: () => unwrap(api.GET("/v1/platform/system")),
  });
  const keys = useQuery({
    queryKey: ["master-keys"],
    queryFn: () => unwrap(api.GET("/v1/platform/master-keys")),
  });
  return (
    <Stack>
      <PageHeader title={t.pages.system} />
      <QueryState query={system}>
        {(system) => (
          <SimpleGrid cols={{ base: 1, md: 2 }}>
            <Card title={t.system.replicas}>
              <ReplicasTable replicas={system.replicas} />
            </Card>
            <Card title={t.system.database}>
              <Database system={system} />
            </Card>
          </SimpleGrid>
        )}
      </QueryState>
      <Card title={t.system.keys}>
        <QueryState query={keys}>{(keys) => <MasterKeysTable keys={keys} />}</QueryState>
      </Card>
      <TenantsCard />
    </Stack>
  );
}

function ReplicasTable(props: { replicas: System["replicas"] }) {
  return (
    <Table>
      <Table.Tbody>
        {props.replicas.map((replica) => (
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
  );
}

function Database(props: { system: System }) {
  const { system } = props;
  return (
    <>
      <Text>
        PostgreSQL {system.database_version}, {(system.database_bytes / 2 ** 20).toFixed(1)} MiB
      </Text>
      <Text>
        {t.system.migrations}: {system.migrations.join(", ")}
      </Text>
      <Text>
        {t.system.deliveriesDue}:{" "}
        {system.waiting_since ? (
          <>
            {system.tenants_waiting} · {t.system.since} <Timestamp at={system.waiting_since} />
          </>
        ) : (
          t.system.noneDue
        )}
      </Text>
    </>
  );
}

function MasterKeysTable(props: { keys: KeyVersion[] }) {
  return (
    <Table>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>{t.version}</Table.Th>
          <Table.Th>{t.state}</Table.Th>
          <Table.Th>{t.system.loaded}</Table.Th>
          <Table.Th>{t.system.since}</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {props.keys.map((key) => (
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
  );
}
