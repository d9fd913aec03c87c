import { Table } from "@mantine/core";
import { Link } from "@tanstack/react-router";

import type { AuditEntry } from "../../api/client";
import { DataTable } from "../../components/DataTable";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";
import type { AuditSearch } from "./search";

const COLUMNS = [t.audit.seq, t.time, t.audit.actor, t.audit.action, t.audit.target];

/** Entries of the log. Each number is a link that opens the entry and keeps the search. */
export function AuditTable(props: { entries: AuditEntry[]; search: AuditSearch }) {
  return (
    <DataTable columns={COLUMNS}>
      {props.entries.map((entry) => (
        <Table.Tr key={entry.seq}>
          <Table.Td>
            <Link to="/audit" search={{ ...props.search, entry: entry.seq }}>
              {entry.seq}
            </Link>
          </Table.Td>
          <Table.Td>
            <Timestamp at={entry.created_at} />
          </Table.Td>
          <Table.Td>
            <code>{entry.actor}</code>
          </Table.Td>
          <Table.Td>{entry.action}</Table.Td>
          <Table.Td>
            <code>{entry.target}</code>
          </Table.Td>
        </Table.Tr>
      ))}
    </DataTable>
  );
}
