import { Table } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { useAuth } from "../../api/AuthContext";
import { unwrap } from "../../api/client";
import { Card } from "../../components/Card";
import { DataTable } from "../../components/DataTable";
import { QueryState } from "../../components/QueryState";
import { StateBadge } from "../../components/StateBadge";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";

const COLUMNS = [t.bundle.title, t.state, t.bundle.exchanges, t.pairs.created];

/** A pair's current and past bundles, newest first. */
export function BundlesTable(props: { pairId: string }) {
  const { api } = useAuth();
  const query = useQuery({
    queryKey: ["bundles", props.pairId],
    queryFn: async () => {
      const filter = { pair_id: props.pairId };
      return (await unwrap(api.GET("/v1/bundles", { params: { query: filter } }))).items;
    },
  });
  return (
    <Card title={t.pairs.bundles}>
      <QueryState query={query} emptyText={t.pairs.noBundles}>
        {(bundles) => (
          <DataTable columns={COLUMNS}>
            {bundles.map((bundle) => (
              <Table.Tr key={bundle.id}>
                <Table.Td>
                  <Link to="/bundles/$id" params={{ id: bundle.id }}>
                    <code>{bundle.id}</code>
                  </Link>
                </Table.Td>
                <Table.Td>
                  <StateBadge state={bundle.state} />
                </Table.Td>
                <Table.Td>{bundle.exchanges.toLocaleString()}</Table.Td>
                <Table.Td>
                  <Timestamp at={bundle.created_at} />
                </Table.Td>
              </Table.Tr>
            ))}
          </DataTable>
        )}
      </QueryState>
    </Card>
  );
}
