import { Alert, Paper, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { useAuth } from "../../api/AuthContext";
import type { AuditEntry } from "../../api/client";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";
import { fetchProvenEntry } from "./verifyLog";

/** An entry, and whether it is in the signed tree. */
export function AuditEntryDetail(props: { seq: number }) {
  const { api, whoami } = useAuth();
  const query = useQuery({
    queryKey: ["entry", props.seq],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () => fetchProvenEntry(api, whoami.tenant_id, props.seq),
  });
  return (
    <QueryState query={query}>
      {({ entry, isProven }) => (
        <Stack>
          <Text>
            {entry.seq} · <Timestamp at={entry.created_at} /> · <b>{entry.action}</b>
          </Text>
          <Text>
            <code>{entry.actor}</code> → <code>{entry.target}</code>
          </Text>
          <Paper withBorder p="sm">
            <EntryChanges detail={entry.detail} />
          </Paper>
          <Alert color={isProven ? "green" : "red"} variant="light" data-testid="proof">
            {isProven ? t.audit.proven : t.audit.notProven}
          </Alert>
        </Stack>
      )}
    </QueryState>
  );
}

/** An entry's detail; for a change, the fields before and after it. */
function EntryChanges(props: { detail: AuditEntry["detail"] }) {
  const detail: unknown = props.detail ?? {};
  if (!isChange(detail)) {
    return <pre>{JSON.stringify(detail, null, 2)}</pre>;
  }
  const fields = [...new Set([...Object.keys(detail.before), ...Object.keys(detail.after)])];
  return (
    <Stack gap={2}>
      {fields.map((field) => {
        const before = JSON.stringify(detail.before[field]);
        const after = JSON.stringify(detail.after[field]);
        return before === after ? (
          <pre key={field}>
            {"  "}
            {field}: {after}
          </pre>
        ) : (
          <div key={field}>
            <pre className="diff-old">
              - {field}: {before}
            </pre>
            <pre className="diff-new">
              + {field}: {after}
            </pre>
          </div>
        );
      })}
    </Stack>
  );
}

type Fields = Record<string, unknown>;

function isChange(detail: unknown): detail is { before: Fields; after: Fields } {
  const { before, after } = detail as { before?: unknown; after?: unknown };
  return isObject(before) && isObject(after);
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}
