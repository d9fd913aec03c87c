import { Button, Group, Modal, Stack, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { canAdminister, useAuth } from "../../api/AuthContext";
import { type Webhook, fetchAllPages, unwrap, unwrapEmpty } from "../../api/client";
import { ActionDialog } from "../../components/ActionDialog";
import { DataTable } from "../../components/DataTable";
import { QueryState } from "../../components/QueryState";
import { StateBadge } from "../../components/StateBadge";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";
import { DeliveriesTable } from "./DeliveriesTable";
import { NewWebhookDialog } from "./NewWebhookDialog";

export function WebhooksTab() {
  const auth = useAuth();
  const [selected, setSelected] = useState<Webhook>();
  const query = useQuery({
    queryKey: ["webhooks"],
    queryFn: () => fetchAllPages((query) => auth.api.GET("/v1/webhooks", { params: { query } })),
  });
  return (
    <Stack>
      {canAdminister(auth) && (
        <Group justify="flex-end">
          <NewWebhookDialog />
        </Group>
      )}
      <QueryState query={query} emptyText={t.access.noWebhooks}>
        {(webhooks) => (
          <DataTable hasActions columns={[t.access.url, t.kind, t.state]}>
            {webhooks.map((webhook) => (
              <Table.Tr key={webhook.id}>
                <Table.Th scope="row">{webhook.url}</Table.Th>
                <Table.Td>{webhook.kinds.join(", ")}</Table.Td>
                <Table.Td>
                  <StateBadge state={webhook.disabled_at ? "disabled" : "active"} />
                  {webhook.disabled_at && (
                    <Text size="sm">
                      {t.access.webhookGone} <Timestamp at={webhook.disabled_at} />
                    </Text>
                  )}
                </Table.Td>
                <Table.Td>
                  <Group gap="xs" wrap="nowrap">
                    <Button size="xs" variant="default" onClick={() => setSelected(webhook)}>
                      {t.access.deliveries}
                    </Button>
                    {canAdminister(auth) && webhook.disabled_at && (
                      <ActionDialog
                        label={t.access.enable}
                        title={`${t.access.enable}: ${webhook.url}`}
                        onSubmit={async () => {
                          const path = { id: webhook.id };
                          await unwrap(
                            auth.api.POST("/v1/webhooks/{id}/enable", { params: { path } }),
                          );
                        }}
                      />
                    )}
                    {canAdminister(auth) && (
                      <ActionDialog
                        label={t.remove}
                        title={`${t.remove}: ${webhook.url}`}
                        danger
                        onSubmit={() => {
                          const path = { id: webhook.id };
                          return unwrapEmpty(
                            auth.api.DELETE("/v1/webhooks/{id}", { params: { path } }),
                          );
                        }}
                      />
                    )}
                  </Group>
                </Table.Td>
              </Table.Tr>
            ))}
          </DataTable>
        )}
      </QueryState>
      <Modal
        opened={selected !== undefined}
        onClose={() => setSelected(undefined)}
        title={t.access.deliveries}
        size="xl"
        closeButtonProps={{ "aria-label": t.close }}
      >
        {selected && <DeliveriesTable webhookId={selected.id} />}
      </Modal>
    </Stack>
  );
}
