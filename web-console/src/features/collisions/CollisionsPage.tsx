import { Stack, Table } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { unwrap } from "../../api/client";
import { useAuth } from "../../api/AuthContext";
import { DataTable } from "../../components/DataTable";
import { PageHeader } from "../../components/PageHeader";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";
import { EvidenceExportButton } from "./EvidenceExportButton";

const COLUMNS = [t.time, t.kind, t.collisions.whose, t.collisions.where, t.bundle.title];

export function CollisionsPage() {
  const { api } = useAuth();
  const query = useQuery({
    queryKey: ["collisions"],
    queryFn: async () => (await unwrap(api.GET("/v1/collisions"))).items,
  });
  return (
    <Stack>
      <PageHeader title={t.pages.collisions} />
      <QueryState query={query} emptyText={t.collisions.none}>
        {(collisions) => (
          <DataTable hasActions columns={COLUMNS}>
            {collisions.map((collision) => (
              <Table.Tr key={collision.id} data-testid="collision">
                <Table.Td>
                  <Timestamp at={collision.detected_at} />
                </Table.Td>
                <Table.Td>{t.collisions[collision.kind]}</Table.Td>
                <Table.Td>
                  {collision.role}
                  {collision.host && `, ${t.collisions.process(collision.host, collision.process)}`}
                </Table.Td>
                <Table.Td>
                  {collision.lane == null
                    ? "–"
                    : `${t.bundle.lane(collision.lane)}, ${collision.n}`}
                </Table.Td>
                <Table.Td>
                  {collision.bundle_id ? (
                    <Link to="/bundles/$id" params={{ id: collision.bundle_id }}>
                      <code>{collision.bundle_id}</code>
                    </Link>
                  ) : (
                    "–"
                  )}
                </Table.Td>
                <Table.Td>
                  <EvidenceExportButton collision={collision} />
                </Table.Td>
              </Table.Tr>
            ))}
          </DataTable>
        )}
      </QueryState>
    </Stack>
  );
}
