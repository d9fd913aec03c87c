import { NumberInput, Select } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { canOperate, useAuth } from "../../api/AuthContext";
import { ApiError, type Pair, type Policy, unwrap } from "../../api/client";
import { FormCard } from "../../components/FormCard";
import { t } from "../../lib/strings";
import { SUITES } from "./suites";

const NUMBER_FIELDS = [
  "report_interval_ms",
  "empty_exchange_interval_ms",
  "heartbeat_interval_ms",
  "lease_ms",
  "max_lanes",
  "supersede_grace_ms",
  "begin_within_ms",
  "bundle_lifetime_ms",
  "witness_within_ms",
  "rekey_interval_ms",
  "rekey_bytes",
] as const;

/**
 * Edits the policy of the version that was read. If somebody else saved first, the form says
 * so and shows their version.
 */
export function PolicyForm(props: {
  pair: Pair;
  etag: string;
  /** Whether somebody else saved first. */
  hasConflict: boolean;
  onConflictChange: (hasConflict: boolean) => void;
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
      props.onConflictChange(false);
      void queries.invalidateQueries();
    },
    onError: (error) => {
      if (error instanceof ApiError && error.status === 412) {
        props.onConflictChange(true);
        void queries.invalidateQueries({ queryKey: ["pair", props.pair.id] });
      }
    },
  });
  const readOnly = !canOperate(auth);
  return (
    <FormCard
      title={t.pairs.policy}
      hint={t.pairs.policyHint}
      error={props.hasConflict ? t.pairs.changed : save.error}
      isSaving={save.isPending}
      readOnly={readOnly}
      onSave={() => save.mutate()}
    >
      <Select
        label={t.pairs.suite}
        allowDeselect={false}
        readOnly={readOnly}
        data={SUITES}
        value={String(policy.suite)}
        onChange={(value) => setPolicy({ ...policy, suite: Number(value) })}
      />
      <Select
        label={t.pairs.reporting}
        allowDeselect={false}
        readOnly={readOnly}
        data={["batched", "strict"] as const}
        value={policy.reporting ?? "batched"}
        onChange={(value) => setPolicy({ ...policy, reporting: value ?? "batched" })}
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
    </FormCard>
  );
}
