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

import { type Pair, type Policy, Refused, answer, tagged } from "../../api/client";
import { mayOperate, useMe } from "../../api/me";
import { ActWithReason } from "../../components/Act";
import { Rows } from "../../components/Rows";
import { Answered, Problem } from "../../components/Said";
import { State } from "../../components/State";
import { Time } from "../../components/Time";
import { t } from "../../lib/strings";

export function PairPage() {
  const { id } = useParams({ from: "/pairs/$id" });
  const { api } = useMe();
  // Outlives the form, which begins anew with the other's version.
  const [outrun, setOutrun] = useState(false);
  const query = useQuery({
    queryKey: ["pair", id],
    queryFn: () => tagged(api.GET("/v1/pairs/{id}", { params: { path: { id } } })),
  });
  return (
    <Answered query={query}>
      {({ found: pair, tag }) => (
        <Stack>
          <Group justify="space-between">
            <Title order={2}>
              {pair.consumer_name} → {pair.producer_name}
            </Title>
            <Group>
              <State state={pair.state} />
              <Acts pair={pair} tag={tag} />
            </Group>
          </Group>
          <Bundles pair={pair} />
          <PolicyForm key={tag} pair={pair} tag={tag} outrun={outrun} onOutrun={setOutrun} />
          <History pair={pair} />
        </Stack>
      )}
    </Answered>
  );
}

export function Acts(props: { pair: Pair; tag: string }) {
  const me = useMe();
  const { pair } = props;
  if (!mayOperate(me)) {
    return null;
  }
  const path = { params: { path: { id: pair.id } } };
  return pair.state === "active" ? (
    <ActWithReason
      label={t.pairs.disconnect}
      hint={t.pairs.disconnectHint}
      danger
      confirm={pair.consumer_name}
      act={async (reason) => {
        await answer(me.api.POST("/v1/pairs/{id}/disconnect", { ...path, body: { reason } }));
      }}
    />
  ) : (
    <ActWithReason
      label={t.pairs.reArm}
      title={`${t.pairs.reArm} ${pair.consumer_name} → ${pair.producer_name}`}
      hint={t.pairs.reArmHint}
      confirm={pair.consumer_name}
      act={async (reason) => {
        await answer(
          me.api.POST("/v1/pairs/{id}/re-arm", {
            params: { ...path.params, header: { "If-Match": props.tag } },
            body: { reason },
          }),
        );
      }}
    />
  );
}

function Bundles(props: { pair: Pair }) {
  const { api } = useMe();
  const query = useQuery({
    queryKey: ["bundles", props.pair.id],
    queryFn: async () =>
      (await answer(api.GET("/v1/bundles", { params: { query: { pair_id: props.pair.id } } })))
        .items,
  });
  return (
    <Paper withBorder p="md">
      <Title order={3} size="h4" mb="sm">
        {t.pairs.bundles}
      </Title>
      <Answered query={query} empty={t.pairs.noBundles}>
        {(bundles) => (
          <Rows heads={[t.bundle.title, t.pairs.state, t.bundle.exchanges, t.pairs.created]}>
            {bundles.map((bundle) => (
              <Table.Tr key={bundle.id}>
                <Table.Td>
                  <Link to="/bundles/$id" params={{ id: bundle.id }}>
                    <code>{bundle.id}</code>
                  </Link>
                </Table.Td>
                <Table.Td>
                  <State state={bundle.state} />
                </Table.Td>
                <Table.Td>{bundle.exchanges.toLocaleString()}</Table.Td>
                <Table.Td>
                  <Time at={bundle.created_at} />
                </Table.Td>
              </Table.Tr>
            ))}
          </Rows>
        )}
      </Answered>
    </Paper>
  );
}

const INTERVALS = [
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
  tag: string;
  outrun: boolean;
  onOutrun: (outrun: boolean) => void;
}) {
  const me = useMe();
  const queries = useQueryClient();
  const [policy, setPolicy] = useState<Policy>(props.pair.policy);
  const save = useMutation({
    mutationFn: () =>
      answer(
        me.api.PUT("/v1/pairs/{id}/policy", {
          params: { path: { id: props.pair.id }, header: { "If-Match": props.tag } },
          body: policy,
        }),
      ),
    onSuccess: () => {
      props.onOutrun(false);
      void queries.invalidateQueries();
    },
    onError: (error) => {
      if (error instanceof Refused && error.status === 412) {
        props.onOutrun(true);
        void queries.invalidateQueries({ queryKey: ["pair", props.pair.id] });
      }
    },
  });
  const readOnly = !mayOperate(me);
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
            {INTERVALS.map((field) => (
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
          {props.outrun ? <Problem error={t.pairs.changed} /> : <Problem error={save.error} />}
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

function History(props: { pair: Pair }) {
  const { api } = useMe();
  const query = useQuery({
    queryKey: ["history", props.pair.id],
    queryFn: async () =>
      (await answer(api.GET("/v1/audit", { params: { query: { target: props.pair.id } } }))).items,
  });
  return (
    <Paper withBorder p="md">
      <Title order={3} size="h4" mb="sm">
        {t.pairs.history}
      </Title>
      <Answered query={query} empty={t.audit.none}>
        {(entries) => (
          <Stack gap={4} component="ul" m={0} p={0} style={{ listStyle: "none" }}>
            {entries.map((entry) => (
              <Text key={entry.seq} component="li" size="sm">
                <Time at={entry.created_at} />{" "}
                <Link to="/audit" search={{ entry: entry.seq }}>
                  {entry.action}
                </Link>{" "}
                <span>{entry.actor}</span> {reason(entry.detail)}
              </Text>
            ))}
          </Stack>
        )}
      </Answered>
    </Paper>
  );
}

function reason(detail: unknown): string {
  const given = (detail as { reason?: unknown } | null)?.reason;
  return typeof given === "string" ? `“${given}”` : "";
}
