import { Button, NumberInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { useAuth } from "../../api/AuthContext";
import { ApiError, type Quotas, unwrap } from "../../api/client";
import { FormCard } from "../../components/FormCard";
import { t } from "../../lib/strings";

const FIELDS = Object.keys(t.quotas) as (keyof typeof t.quotas)[];
const MAX_QUOTA = 2 ** 32 - 1;

/**
 * Edits the version of the quotas that was read. If somebody else saved first, the form says
 * so and offers to load their version.
 */
export function QuotasForm(props: { tenantId: string; quotas: Quotas; etag: string }) {
  const { api } = useAuth();
  const queries = useQueryClient();
  const [quotas, setQuotas] = useState(props.quotas);
  const reload = () => void queries.invalidateQueries({ queryKey: ["quotas", props.tenantId] });
  const save = useMutation({
    mutationFn: () =>
      unwrap(
        api.PUT("/v1/tenants/{id}/quotas", {
          params: { path: { id: props.tenantId }, header: { "If-Match": props.etag } },
          body: quotas,
        }),
      ),
    onSuccess: reload,
  });
  const hasConflict = save.error instanceof ApiError && save.error.status === 412;
  return (
    <FormCard
      title={t.tenant.quotas}
      error={hasConflict ? t.tenant.changed : save.error}
      isSaving={save.isPending}
      actions={
        hasConflict && (
          <Button variant="default" onClick={reload}>
            {t.tenant.loadTheirs}
          </Button>
        )
      }
      onSave={() => save.mutate()}
    >
      {FIELDS.map((field) => (
        <NumberInput
          key={field}
          label={t.quotas[field]}
          required
          min={0}
          max={MAX_QUOTA}
          allowDecimal={false}
          value={quotas[field] ?? ""}
          onChange={(value) => setQuotas({ ...quotas, [field]: Number(value) })}
        />
      ))}
    </FormCard>
  );
}
