import {
  Button,
  Group,
  NumberInput,
  Paper,
  Select,
  SimpleGrid,
  Stack,
  Table,
  Text,
  Title,
} from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useState } from "react";

import { type Pair, type Policy, ApiError, unwrap, unwrapWithEtag } from "../../api/client";
import { canOperate, useAuth } from "../../api/AuthContext";
import { ReasonDialog } from "../../components/ActionDialog";
import { DataTable } from "../../components/DataTable";
import { ErrorAlert } from "../../components/ErrorAlert";
import { QueryState } from "../../components/QueryState";
import { StateBadge } from "../../components/StateBadge";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";

export function PairPage() {
  const { id } = useParams({ from: "/pairs/$id" });
  const { api } = useAuth();
  // Outlives the form, which begins anew with the other's version.
  const [outrun, setOutrun] = useState(false);
  const query = useQuery({
    queryKey: ["pair", id],
    queryFn: () => unwrapWithEtag(api.GET("/v1/pairs/{id}", { params: { path: { id } } })),
  });
  return (
    <QueryState query={query}>
      {({ data: pair, etag }) => (
        <Stack>
          <Group justify="space-between">
            <Title order={2}>
              {pair.consumer_name} → {pair.producer_name}
            </Title>
            <Group>
              <StateBadge state={pair.state} />
              <PairActions pair={pair} etag={etag} />
            </Group>
          </Group>
          <BundlesTable pair={pair} />
          <PolicyForm
            key={etag}
            pair={pair}
            etag={etag}
            hasConflict={outrun}
            onConflict={setOutrun}
          />
          <PairHistory pair={pair} />
        </Stack>
      )}
    </QueryState>
  );
}

export function PairActions(props: { pair: Pair; etag: string }) {
  const auth = useAuth();
  const { pair } = props;
  if (!canOperate(auth)) {
    return null;
  }
  const path = { params: { path: { id: pair.id } } };
  return pair.state === "active" ? (
    <ReasonDialog
      label={t.pairs.disconnect}
      hint={t.pairs.disconnectHint}
      danger
      confirmText={pair.consumer_name}
      onSubmit={async (reason) => {
        await unwrap(auth.api.POST("/v1/pairs/{id}/disconnect", { ...path, body: { reason } }));
      }}
    />
  ) : (
    <ReasonDialog
      label={t.pairs.reArm}
      title={`${t.pairs.reArm} ${pair.consumer_name} → ${pair.producer_name}`}
      hint={t.pairs.reArmHint}
      confirmText={pair.consumer_name}
      onSubmit={async (reason) => {
        await unwrap(
          auth.api.POST("/v1/pairs/{id}/re-arm", {
            params: { ...path.params, header: { "If-Match": props.etag } },
            body: { reason },
          }),
        );
      }}
    />
  );
}

function BundlesTable(props: { pair: Pair }) {
  const { api } = useAuth();
  const query = useQuery({
    queryKey: ["bundles", props.pair.id],
    queryFn: async () =>
      (await unwrap(api.GET("/v1/bundles", { params: { query: { pair_id: props.pair.id } } })))
        .items,
  });
  return (
    <Paper withBorder p="md">
      <Title order={3} size="h4" mb="sm">
        {t.pairs.bundles}
      </Title>
      <QueryState query={query} emptyText={t.pairs.noBundles}>
        {(bundles) => (
          <DataTable columns={[t.bundle.title, t.pairs.state, t.bundle.exchanges, t.pairs.created]}>
            {bundles.map((bundle) => (
              <Table.Tr key={bundle.id}>
                <Table.Td>
                  <Link to="/bundles/$id" params={{ id: bundle.id }}>
                    <code>{bundle.id}</code>
                  </Link>
                </Table.Td>
                <Table.Td>
                  <StateBadge state={bundle.state} />
                </Table.Td>
                <Table.Td>{bundle.exchanges.toLocaleString()}</Table.Td>
                <Table.Td>
                  <Timestamp at={bundle.created_at} />
                </Table.Td>
              </Table.Tr>
            ))}
          </DataTable>
        )}
      </QueryState>
    </Paper>
  );
}

const NUMBER_FIELDS = [
  "report_interval_ms",
  "empty_exchange_interval_ms",
  "heartbeat_interval_ms",
  "lease_ms",
  "max_lanes",
  "supersede_grace_ms",
] as const;

/** Edits the policy of what was read; who was slower is told, and shown what is now. */
function PolicyForm(props: {
  pair: Pair;
  etag: string;
  hasConflict: boolean;
  onConflict: (outrun: boolean) => void;
}) {
  const auth = useAuth();
  const queries = useQueryClient();
  const [policy, setPolicy] = useState<Policy>(props.pair.policy);
  const save = useMutation({
    mutationFn: () =>
      unwrap(
        auth.api.PUT("/v1/pairs/{id}/policy", {
          params: { path: { id: props.pair.id }, header: { "If-Match": props.etag } },
          body: policy,
        }),
      ),
    onSuccess: () => {
      props.onConflict(false);
      void queries.invalidateQueries();
    },
    onError: (error) => {
      if (error instanceof ApiError && error.status === 412) {
        props.onConflict(true);
        void queries.invalidateQueries({ queryKey: ["pair", props.pair.id] });
      }
    },
  });
  const readOnly = !canOperate(auth);
  return (
    <Paper withBorder p="md">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <Stack>
          <Title order={3} size="h4">
            {t.pairs.policy}
          </Title>
          <Text c="dimmed">{t.pairs.policyHint}</Text>
          <SimpleGrid cols={{ base: 1, sm: 2, md: 4 }}>
            <Select
              label={t.pairs.suite}
              allowDeselect={false}
              readOnly={readOnly}
              data={["1", "2"]}
              value={String(policy.suite)}
              onChange={(value) => setPolicy({ ...policy, suite: Number(value) })}
            />
            <Select
              label={t.pairs.reporting}
              allowDeselect={false}
              readOnly={readOnly}
              data={["batched", "strict"]}
              value={policy.reporting ?? "batched"}
              onChange={(value) =>
                setPolicy({ ...policy, reporting: value === "strict" ? "strict" : "batched" })
              }
            />
            {NUMBER_FIELDS.map((field) => (
              <NumberInput
                key={field}
                label={t.policy[field]}
                readOnly={readOnly}
                required
                min={1}
                allowDecimal={false}
                value={policy[field] ?? ""}
                onChange={(value) => setPolicy({ ...policy, [field]: Number(value) })}
              />
            ))}
          </SimpleGrid>
          {props.hasConflict ? (
            <ErrorAlert error={t.pairs.changed} />
          ) : (
            <ErrorAlert error={save.error} />
          )}
          {!readOnly && (
            <Group justify="flex-end">
              <Button type="submit" loading={save.isPending}>
                {t.save}
              </Button>
            </Group>
          )}
        </Stack>
      </form>
    </Paper>
  );
}

function PairHistory(props: { pair: Pair }) {
  const { api } = useAuth();
  const query = useQuery({
    queryKey: ["history", props.pair.id],
    queryFn: async () =>
      (await unwrap(api.GET("/v1/audit", { params: { query: { target: props.pair.id } } }))).items,
  });
  return (
    <Paper withBorder p="md">
      <Title order={3} size="h4" mb="sm">
        {t.pairs.history}
      </Title>
      <QueryState query={query} emptyText={t.audit.none}>
        {(entries) => (
          <Stack gap={4} component="ul" m={0} p={0} style={{ listStyle: "none" }}>
            {entries.map((entry) => (
              <Text key={entry.seq} component="li" size="sm">
                <Timestamp at={entry.created_at} />{" "}
                <Link to="/audit" search={{ entry: entry.seq }}>
                  {entry.action}
                </Link>{" "}
                <span>{entry.actor}</span> {reason(entry.detail)}
              </Text>
            ))}
          </Stack>
        )}
      </QueryState>
    </Paper>
  );
}

function reason(detail: unknown): string {
  const given = (detail as { reason?: unknown } | null)?.reason;
  return typeof given === "string" ? `“${given}”` : "";
}
