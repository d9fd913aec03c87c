import { Alert, Button, Modal, Stack, Table } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";

import { useAuth } from "../../api/AuthContext";
import { type Endpoint, unwrap } from "../../api/client";
import { DataTable } from "../../components/DataTable";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";

const COLUMNS = [t.endpoints.start, t.endpoints.host, t.endpoints.accepted, t.endpoints.ended];

/** A button that shows an endpoint's latest starts, and another one that disputes its place. */
export function StartsDialog(props: { endpoint: Endpoint }) {
  const { api } = useAuth();
  const { id, name } = props.endpoint;
  const [opened, { open, close }] = useDisclosure(false);
  const query = useQuery({
    queryKey: ["starts", id],
    enabled: opened,
    queryFn: async () => {
      const path = { id };
      const starts = await unwrap(api.GET("/v1/endpoints/{id}/starts", { params: { path } }));
      const disputes = await unwrap(api.GET("/v1/start-disputes"));
      const dispute = disputes.items.find((dispute) => dispute.endpoint_id === id);
      return { starts: starts.items, dispute };
    },
  });
  return (
    <>
      <Button size="xs" variant="default" onClick={open}>
        {t.endpoints.starts}
      </Button>
      <Modal
        opened={opened}
        onClose={close}
        size="lg"
        title={`${t.endpoints.starts}: ${name}`}
        closeButtonProps={{ "aria-label": t.close }}
      >
        <QueryState query={query}>
          {({ starts, dispute }) => (
            <Stack>
              {dispute && (
                <Alert color="red" variant="light" title={t.endpoints.dispute}>
                  <Timestamp at={dispute.since} />
                  {` · ${place(dispute.newer_host, dispute.newer_process)}`}
                </Alert>
              )}
              <DataTable columns={COLUMNS}>
                {starts.map((start) => (
                  <Table.Tr key={start.start}>
                    <Table.Th scope="row">{start.counter}</Table.Th>
                    <Table.Td>{place(start.host, start.process)}</Table.Td>
                    <Table.Td>
                      <Timestamp at={start.accepted_at} />
                    </Table.Td>
                    <Table.Td>
                      {start.ended_at ? <Timestamp at={start.ended_at} /> : t.endpoints.lives}
                    </Table.Td>
                  </Table.Tr>
                ))}
              </DataTable>
            </Stack>
          )}
        </QueryState>
      </Modal>
    </>
  );
}

function place(host?: string | null, process?: number | null): string {
  return host ? t.collisions.process(host, process) : "–";
}
