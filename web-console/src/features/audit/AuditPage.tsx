import {
  Alert,
  Button,
  Group,
  Modal,
  Paper,
  Progress,
  Stack,
  Switch,
  Table,
  Text,
  TextInput,
  Title,
} from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useInfiniteQuery, useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";

import { type Api, type AuditEntry, unwrap } from "../../api/client";
import { authHeaders } from "../../api/credentials";
import { useAuth } from "../../api/AuthContext";
import { ErrorAlert } from "../../components/ErrorAlert";
import { Timestamp } from "../../components/Timestamp";
import type { AuditSearch } from "./search";
import { t } from "../../lib/strings";
import { isConsistent, isHeadSigned, isIncluded, leafHash } from "./merkleTree";

/** How often a followed log is read anew, in milliseconds. */
const FOLLOW_INTERVAL_MS = 2_000;

export function AuditPage() {
  const { api } = useAuth();
  const search = useSearch({ from: "/audit" });
  const navigate = useNavigate({ from: "/audit" });
  const change = (changes: AuditSearch) =>
    void navigate({ search: (now) => ({ ...now, ...changes }), replace: true });
  const [tail, setTail] = useState(false);
  const { actor, action, target } = search;
  const query = useInfiniteQuery({
    queryKey: ["audit", actor, action, target],
    initialPageParam: undefined as string | undefined,
    refetchInterval: tail ? FOLLOW_INTERVAL_MS : false,
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET("/v1/audit", {
          params: {
            query: {
              ...(pageParam ? { cursor: Number(pageParam) } : {}),
              ...(actor ? { actor } : {}),
              ...(action ? { action } : {}),
              ...(target ? { target } : {}),
            },
          },
        }),
      ),
    getNextPageParam: (last) => last.next ?? undefined,
  });
  const entries = query.data?.pages.flatMap((page) => page.items);
  return (
    <Stack>
      <Group justify="space-between">
        <Title order={2}>{t.pages.audit}</Title>
        <Group>
          <ExportButton />
          <VerifyButton />
        </Group>
      </Group>
      <Group align="end">
        {(["actor", "action", "target"] as const).map((field) => (
          <Filter
            key={field}
            label={t.audit[field]}
            value={search[field] ?? ""}
            onChange={(text) => change({ [field]: text || undefined })}
          />
        ))}
        <Switch
          label={t.audit.tail}
          checked={tail}
          onChange={(event) => setTail(event.currentTarget.checked)}
        />
      </Group>
      <ErrorAlert error={query.error} onRetry={() => void query.refetch()} />
      {entries === undefined ? (
        <Text>{t.loading}</Text>
      ) : entries.length === 0 ? (
        <Text c="dimmed">{t.audit.none}</Text>
      ) : (
        <div className="scroll">
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t.audit.seq}</Table.Th>
                <Table.Th>{t.audit.at}</Table.Th>
                <Table.Th>{t.audit.actor}</Table.Th>
                <Table.Th>{t.audit.action}</Table.Th>
                <Table.Th>{t.audit.target}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {entries.map((entry) => (
                <Table.Tr key={entry.seq}>
                  <Table.Td>
                    <Link to="/audit" search={{ ...search, entry: entry.seq }}>
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
            </Table.Tbody>
          </Table>
        </div>
      )}
      {query.hasNextPage && (
        <Button
          variant="default"
          loading={query.isFetchingNextPage}
          onClick={() => void query.fetchNextPage()}
        >
          {t.more}
        </Button>
      )}
      <Modal
        opened={search.entry !== undefined}
        onClose={() => change({ entry: undefined })}
        title={t.audit.detail}
        size="lg"
        closeButtonProps={{ "aria-label": t.close }}
      >
        {search.entry !== undefined && <AuditEntryDetail seq={search.entry} />}
      </Modal>
    </Stack>
  );
}

function Filter(props: { label: string; value: string; onChange: (text: string) => void }) {
  const [typed, setTyped] = useState(props.value);
  const change = useDebouncedCallback(props.onChange, 250);
  return (
    <TextInput
      label={props.label}
      value={typed}
      onChange={(event) => {
        setTyped(event.currentTarget.value);
        change(event.currentTarget.value.trim());
      }}
    />
  );
}

/** One entry, and whether the signed tree holds it. */
function AuditEntryDetail(props: { seq: number }) {
  const { api, whoami } = useAuth();
  const query = useQuery({
    queryKey: ["entry", props.seq],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async () => {
      const { log_key, head } = await unwrap(api.GET("/v1/audit/head"));
      const proof = await unwrap(
        api.GET("/v1/audit/{seq}/proof", {
          params: { path: { seq: props.seq }, query: { size: head.size } },
        }),
      );
      const hash = await leafHash(whoami.tenant_id, proof.entry);
      const proven =
        (await isHeadSigned(log_key, head)) &&
        (await isIncluded(hash, props.seq - 1, head.size, proof.inclusion, head.root));
      return { entry: proof.entry, proven };
    },
  });
  if (query.data === undefined) {
    return query.error ? <ErrorAlert error={query.error} /> : <Text>{t.loading}</Text>;
  }
  const { entry, proven } = query.data;
  return (
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
      <Alert color={proven ? "green" : "red"} variant="light" data-testid="proof">
        {proven ? t.audit.proven : t.audit.notProven}
      </Alert>
    </Stack>
  );
}

/** What an entry tells; of a change what was and what is. */
function EntryChanges(props: { detail: AuditEntry["detail"] }) {
  const detail = (props.detail ?? {}) as Record<string, unknown>;
  const { before, after } = detail as { before?: object; after?: object };
  if (before && after) {
    const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    const at = (from: object, field: string) =>
      JSON.stringify((from as Record<string, unknown>)[field]);
    return (
      <Stack gap={2}>
        {fields.map((field) =>
          at(before, field) === at(after, field) ? (
            <pre key={field}>
              {"  "}
              {field}: {at(after, field)}
            </pre>
          ) : (
            <div key={field}>
              <pre className="diff-old">
                - {field}: {at(before, field)}
              </pre>
              <pre className="diff-new">
                + {field}: {at(after, field)}
              </pre>
            </div>
          ),
        )}
      </Stack>
    );
  }
  return <pre>{JSON.stringify(detail, null, 2)}</pre>;
}

/** Streams the whole log into a file, and shows how far it is. */
function ExportButton() {
  const { credentials } = useAuth();
  const [progress, setProgress] = useState<{ done: number; all: number }>();
  const run = useMutation({
    mutationFn: async () => {
      const response = await fetch("/v1/audit/export", { headers: authHeaders(credentials) });
      if (!response.ok || !response.body) {
        throw new Error(`${response.status}`);
      }
      const entries = Number(response.headers.get("x-armour-entries") ?? 0);
      const chunks: Uint8Array<ArrayBuffer>[] = [];
      const reader = response.body.getReader();
      let lines = 0;
      for (;;) {
        const { done, value } = await reader.read();
        if (done) {
          break;
        }
        chunks.push(new Uint8Array(value));
        lines += value.reduce((count, byte) => count + (byte === 10 ? 1 : 0), 0);
        setProgress({ done: Math.min(lines, entries), all: entries });
      }
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(chunks, { type: "application/x-ndjson" }));
      link.download = "audit.ndjson";
      link.click();
      URL.revokeObjectURL(link.href);
    },
    onSettled: () => setProgress(undefined),
  });
  return (
    <>
      {progress && (
        <div role="status">
          <Text size="sm">{t.audit.exporting(progress.done, progress.all)}</Text>
          <Progress
            value={(100 * progress.done) / Math.max(progress.all, 1)}
            aria-label={t.audit.export}
          />
        </div>
      )}
      <ErrorAlert error={run.error} />
      <Button variant="default" size="xs" loading={run.isPending} onClick={() => run.mutate()}>
        {t.audit.export}
      </Button>
    </>
  );
}

/** Checks the latest head, and that it follows from the first tree there was. */
function VerifyButton() {
  const { api } = useAuth();
  const check = useMutation({ mutationFn: () => verifyLog(api) });
  return (
    <>
      {check.data && (
        <Text size="sm" role="status" className="good">
          {t.audit.verified(check.data)}
        </Text>
      )}
      <ErrorAlert error={check.error} />
      <Button variant="default" size="xs" loading={check.isPending} onClick={() => check.mutate()}>
        {t.audit.verify}
      </Button>
    </>
  );
}

async function verifyLog(api: Api): Promise<number> {
  const { log_key, head } = await unwrap(api.GET("/v1/audit/head"));
  const proof = await unwrap(
    api.GET("/v1/audit/consistency", { params: { query: { first: 1, size: head.size } } }),
  );
  const holds =
    (await isHeadSigned(log_key, head)) &&
    proof.root === head.root &&
    (await isConsistent(1, proof.first_root, head.size, head.root, proof.consistency));
  if (!holds) {
    throw new Error(t.audit.notProven);
  }
  return head.size;
}
