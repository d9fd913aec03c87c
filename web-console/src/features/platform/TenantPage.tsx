import { Button, Group, NumberInput, Paper, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";

import { ApiError, unwrap, unwrapEmpty, unwrapWithEtag } from "../../api/client";
import type { components } from "../../api/schema";
import { useAuth } from "../../api/AuthContext";
import { ActionDialog, ReasonDialog } from "../../components/ActionDialog";
import { OverviewMetrics } from "../../components/OverviewMetrics";
import { ErrorAlert } from "../../components/ErrorAlert";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";

type Quotas = Required<components["schemas"]["Quotas"]>;

/** A tenant as the platform's people see it: figures and quotas, nothing of its own. */
export function TenantPage() {
  const { id } = useParams({ from: "/tenants/$id" });
  const { api } = useAuth();
  const navigate = useNavigate();
  const path = { params: { path: { id } } };
  const tenant = useQuery({
    queryKey: ["tenant", id],
    queryFn: () => unwrap(api.GET("/v1/tenants/{id}", path)),
  });
  const overview = useQuery({
    queryKey: ["tenant-overview", id],
    refetchInterval: 5_000,
    queryFn: () => unwrap(api.GET("/v1/tenants/{id}/overview", path)),
  });
  const quotas = useQuery({
    queryKey: ["quotas", id],
    queryFn: () => unwrapWithEtag(api.GET("/v1/tenants/{id}/quotas", path)),
  });
  return (
    <Stack>
      <QueryState query={tenant}>
        {(found) => (
          <>
            <Group justify="space-between">
              <Title order={2}>{found.name}</Title>
              {!found.deleted_at && (
                <Group>
                  <ReasonDialog
                    label={t.tenant.fence}
                    hint={t.tenant.fenceHint}
                    danger
                    confirmText={found.name}
                    onSubmit={async (reason) => {
                      await unwrap(
                        api.POST("/v1/tenants/{id}/fence", { ...path, body: { reason } }),
                      );
                    }}
                  />
                  <ActionDialog
                    label={t.tenant.delete}
                    hint={t.tenant.deleteHint}
                    danger
                    confirmText={found.name}
                    onSubmit={async () => {
                      await unwrapEmpty(api.DELETE("/v1/tenants/{id}", path));
                      await navigate({ to: "/system" });
                    }}
                  />
                </Group>
              )}
            </Group>
            <Text>
              <code>{found.id}</code> · {t.system.since} <Timestamp at={found.created_at} />
              {found.deleted_at && (
                <>
                  {" "}
                  · {t.tenant.deleted} <Timestamp at={found.deleted_at} />
                </>
              )}
            </Text>
          </>
        )}
      </QueryState>
      <Text c="dimmed">{t.tenant.hint}</Text>
      <QueryState query={overview}>{(now) => <OverviewMetrics overview={now} />}</QueryState>
      <QueryState query={quotas}>
        {(read) => (
          <QuotasForm key={read.etag} id={id} quotas={read.data as Quotas} etag={read.etag} />
        )}
      </QueryState>
    </Stack>
  );
}

/** Edits what was read; who was slower is told, and shown what is now. */
function QuotasForm(props: { id: string; quotas: Quotas; etag: string }) {
  const { api } = useAuth();
  const queries = useQueryClient();
  const [quotas, setQuotas] = useState(props.quotas);
  const save = useMutation({
    mutationFn: () =>
      unwrap(
        api.PUT("/v1/tenants/{id}/quotas", {
          params: { path: { id: props.id }, header: { "If-Match": props.etag } },
          body: quotas,
        }),
      ),
    onSuccess: () => void queries.invalidateQueries({ queryKey: ["quotas", props.id] }),
  });
  const outrun = save.error instanceof ApiError && save.error.status === 412;
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
            {t.tenant.quotas}
          </Title>
          <SimpleGrid cols={{ base: 1, sm: 2, md: 4 }}>
            {(Object.keys(t.quotas) as (keyof Quotas)[]).map((field) => (
              <NumberInput
                key={field}
                label={t.quotas[field]}
                required
                min={0}
                max={2 ** 32 - 1}
                allowDecimal={false}
                value={quotas[field]}
                onChange={(value) => setQuotas({ ...quotas, [field]: Number(value) })}
              />
            ))}
          </SimpleGrid>
          <ErrorAlert error={outrun ? t.tenant.changed : save.error} />
          <Group justify="flex-end">
            {outrun && (
              <Button
                variant="default"
                onClick={() => {
                  void queries.invalidateQueries({ queryKey: ["quotas", props.id] });
                }}
              >
                {t.tenant.readAgain}
              </Button>
            )}
            <Button type="submit" loading={save.isPending}>
              {t.save}
            </Button>
          </Group>
        </Stack>
      </form>
    </Paper>
  );
}
