import { Table } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { useAuth } from "../../api/AuthContext";
import { type Session, fetchAllPages, unwrapEmpty } from "../../api/client";
import { ActionDialog } from "../../components/ActionDialog";
import { DataTable } from "../../components/DataTable";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";

const COLUMNS = [
  t.access.person,
  t.role,
  t.access.browser,
  t.access.started,
  t.access.lastUsed,
  t.state,
];

/** Sign-in sessions: one’s own, or everyone’s for an administrator. */
export function SessionsTab() {
  const { api } = useAuth();
  const query = useQuery({
    queryKey: ["sessions"],
    queryFn: () => fetchAllPages((query) => api.GET("/v1/sessions", { params: { query } })),
  });
  return (
    <QueryState query={query} emptyText={t.access.noSessions}>
      {(sessions) => (
        <DataTable hasActions columns={COLUMNS}>
          {sessions.map((session) => (
            <SessionRow key={session.id} session={session} />
          ))}
        </DataTable>
      )}
    </QueryState>
  );
}

function SessionRow(props: { session: Session }) {
  const { api } = useAuth();
  const { session } = props;
  return (
    <Table.Tr>
      <Table.Th scope="row">{session.name}</Table.Th>
      <Table.Td>{session.role}</Table.Td>
      <Table.Td title={session.user_agent}>{browserName(session.user_agent)}</Table.Td>
      <Table.Td>
        <Timestamp at={session.created_at} />
      </Table.Td>
      <Table.Td>
        <Timestamp at={session.last_used_at} />
      </Table.Td>
      <Table.Td>
        {session.ended_at
          ? t.access.ended
          : session.current
            ? t.access.thisSession
            : t.access.active}
      </Table.Td>
      <Table.Td>
        {!session.ended_at && (
          <ActionDialog
            label={t.access.end}
            title={`${t.access.end}: ${session.name}`}
            danger
            onSubmit={() =>
              unwrapEmpty(api.DELETE("/v1/sessions/{id}", { params: { path: { id: session.id } } }))
            }
          />
        )}
      </Table.Td>
    </Table.Tr>
  );
}

/** The browser's name and version, if the user agent is in a usual form. */
function browserName(userAgent: string): string {
  const match = /(Firefox|Edg|Chrome|Version)\/(\d+)/.exec(userAgent);
  return match ? `${match[1]} ${match[2]}` : userAgent.slice(0, 20);
}
