import { Table } from "@mantine/core";
import type { ReactNode } from "react";

/** A table: its heads, and rows that scroll sideways where the screen is narrow. */
export function DataTable(props: { columns: string[]; hasActions?: boolean; children: ReactNode }) {
  return (
    <div className="scroll">
      <Table>
        <Table.Thead>
          <Table.Tr>
            {props.columns.map((head) => (
              <Table.Th key={head}>{head}</Table.Th>
            ))}
            {props.hasActions && <Table.Td />}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>{props.children}</Table.Tbody>
      </Table>
    </div>
  );
}
