import { Stack, Table, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { unwrap } from "../../api/client";
import { useAuth } from "../../api/AuthContext";
import { DataTable } from "../../components/DataTable";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";

export function CollisionsPage() {
  const { api } = useAuth();
  const query = useQuery({
    queryKey: ["collisions"],
    queryFn: async () => (await unwrap(api.GET("/v1/collisions"))).items,
  });
  return (
    <Stack>
      <Title order={2}>{t.pages.collisions}</Title>
      <QueryState query={query} emptyText={t.collisions.none}>
        {(collisions) => (
          <DataTable
            columns={[t.collisions.at, t.collisions.kind, t.collisions.where, t.bundle.title]}
          >
            {collisions.map((one) => (
              <Table.Tr key={one.id} data-testid="collision">
                <Table.Td>
                  <Timestamp at={one.detected_at} />
                </Table.Td>
                <Table.Td>{t.collisions[one.kind]}</Table.Td>
                <Table.Td>
                  {one.kind === "usurped" ? "–" : `${t.bundle.lane(one.lane)}, ${one.n}`}
                </Table.Td>
                <Table.Td>
                  <Link to="/bundles/$id" params={{ id: one.bundle_id }}>
                    <code>{one.bundle_id}</code>
                  </Link>
                </Table.Td>
              </Table.Tr>
            ))}
          </DataTable>
        )}
      </QueryState>
    </Stack>
  );
}
