import { Table } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { canAdminister, useAuth } from "../../api/AuthContext";
import { unwrap } from "../../api/client";
import { ActionDialog } from "../../components/ActionDialog";
import { DataTable } from "../../components/DataTable";
import { QueryState } from "../../components/QueryState";
import { StateBadge } from "../../components/StateBadge";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";

const COLUMNS = [t.kind, t.state, t.access.attempts, t.access.result, t.time];
/** Attempts emit no events, so the list is polled. */
const REFETCH_INTERVAL_MS = 2_000;

/** A webhook's deliveries, their outcome, and a button to redeliver each. */
export function DeliveriesTable(props: { webhookId: string }) {
  const auth = useAuth();
  const id = props.webhookId;
  const query = useQuery({
    queryKey: ["deliveries", id],
    refetchInterval: REFETCH_INTERVAL_MS,
    queryFn: async () => {
      const path = { id };
      const page = await unwrap(auth.api.GET("/v1/webhooks/{id}/deliveries", { params: { path } }));
      return page.items;
    },
  });
  return (
    <QueryState query={query} emptyText={t.access.noDeliveries}>
      {(deliveries) => (
        <DataTable hasActions columns={COLUMNS}>
          {deliveries.map((delivery) => (
            <Table.Tr key={delivery.id}>
              <Table.Th scope="row">{delivery.kind}</Table.Th>
              <Table.Td>
                <StateBadge state={delivery.state} />
              </Table.Td>
              <Table.Td>{delivery.attempts}</Table.Td>
              <Table.Td>{delivery.last_error ?? delivery.last_status ?? "–"}</Table.Td>
              <Table.Td>
                <Timestamp at={delivery.created_at} />
              </Table.Td>
              <Table.Td>
                {canAdminister(auth) && (
                  <ActionDialog
                    label={t.access.redeliver}
                    onSubmit={async () => {
                      const path = { id, delivery: delivery.id };
                      await unwrap(
                        auth.api.POST("/v1/webhooks/{id}/deliveries/{delivery}/replay", {
                          params: { path },
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
  );
}
