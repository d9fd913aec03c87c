import { Table } from "@mantine/core";
import type { ReactNode } from "react";

/** A table that scrolls sideways on a narrow screen. */
export function DataTable(props: {
  /** The column headings. */
  columns: string[];
  /** Whether each row ends in a cell of buttons. */
  hasActions?: boolean;
  /** The rows. */
  children: ReactNode;
}) {
  return (
    <div className="scroll">
      <Table>
        <Table.Thead>
          <Table.Tr>
            {props.columns.map((column) => (
              <Table.Th key={column}>{column}</Table.Th>
            ))}
            {props.hasActions && <Table.Td />}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>{props.children}</Table.Tbody>
      </Table>
    </div>
  );
}
