import { Table } from "@mantine/core";

import type { Bundle, DisconnectAcknowledgement } from "../../api/client";
import { Card } from "../../components/Card";
import { t } from "../../lib/strings";

/** How long after the disconnect each end acknowledged it. */
export function AcknowledgementsCard(props: {
  bundle: Bundle;
  acknowledgements: DisconnectAcknowledgement[];
}) {
  const { bundle } = props;
  const delay = (endpointId: string): string => {
    const acknowledgement = props.acknowledgements.find((one) => one.endpoint_id === endpointId);
    if (!acknowledgement || !bundle.disconnected_at) {
      return t.bundle.notYet;
    }
    // The clocks may differ, so that an acknowledgement seems to come before the disconnect.
    const ms = Math.max(
      0,
      Date.parse(acknowledgement.obeyed_at) - Date.parse(bundle.disconnected_at),
    );
    return t.bundle.after(`${ms.toLocaleString()} ms`);
  };
  const rows = [
    { end: t.bundle.consumerEnd, endpointId: bundle.consumer_endpoint_id },
    { end: t.bundle.producerEnd, endpointId: bundle.producer_endpoint_id },
  ];
  return (
    <Card title={t.bundle.acknowledgements}>
      <Table>
        <Table.Tbody>
          {rows.map(({ end, endpointId }) => (
            <Table.Tr key={endpointId}>
              <Table.Th scope="row">{end}</Table.Th>
              <Table.Td>{delay(endpointId)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Card>
  );
}
