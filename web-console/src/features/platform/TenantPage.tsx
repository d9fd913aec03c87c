import { Button, Group, NumberInput, Paper, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";

import { Refused, answer, done, tagged } from "../../api/client";
import type { components } from "../../api/schema";
import { useMe } from "../../api/me";
import { Act, ActWithReason } from "../../components/Act";
import { Figures } from "../../components/Figures";
import { Answered, Problem } from "../../components/Said";
import { Time } from "../../components/Time";
import { t } from "../../lib/strings";

type Quotas = Required<components["schemas"]["Quotas"]>;

/** A tenant as the platform's people see it: figures and quotas, nothing of its own. */
export function TenantPage() {
  const { id } = useParams({ from: "/tenants/$id" });
  const { api } = useMe();
  const navigate = useNavigate();
  const path = { params: { path: { id } } };
  const tenant = useQuery({
    queryKey: ["tenant", id],
    queryFn: () => answer(api.GET("/v1/tenants/{id}", path)),
  });
  const overview = useQuery({
    queryKey: ["tenant-overview", id],
    refetchInterval: 5_000,
    queryFn: () => answer(api.GET("/v1/tenants/{id}/overview", path)),
  });
  const quotas = useQuery({
    queryKey: ["quotas", id],
    queryFn: () => tagged(api.GET("/v1/tenants/{id}/quotas", path)),
  });
  return (
    <Stack>
      <Answered query={tenant}>
        {(found) => (
          <>
            <Group justify="space-between">
              <Title order={2}>{found.name}</Title>
              {!found.deleted_at && (
                <Group>
                  <ActWithReason
                    label={t.tenant.fence}
                    hint={t.tenant.fenceHint}
                    danger
                    confirm={found.name}
                    act={async (reason) => {
                      await answer(
                        api.POST("/v1/tenants/{id}/fence", { ...path, body: { reason } }),
                      );
                    }}
                  />
                  <Act
                    label={t.tenant.delete}
                    hint={t.tenant.deleteHint}
                    danger
                    confirm={found.name}
                    act={async () => {
                      await done(api.DELETE("/v1/tenants/{id}", path));
                      await navigate({ to: "/system" });
                    }}
                  />
                </Group>
              )}
            </Group>
            <Text>
              <code>{found.id}</code> · {t.system.since} <Time at={found.created_at} />
              {found.deleted_at && (
                <>
                  {" "}
                  · {t.tenant.deleted} <Time at={found.deleted_at} />
                </>
              )}
            </Text>
          </>
        )}
      </Answered>
      <Text c="dimmed">{t.tenant.hint}</Text>
      <Answered query={overview}>{(now) => <Figures now={now} />}</Answered>
      <Answered query={quotas}>
        {(read) => (
          <QuotasForm key={read.tag} id={id} quotas={read.found as Quotas} tag={read.tag} />
        )}
      </Answered>
    </Stack>
  );
}

/** Edits what was read; who was slower is told, and shown what is now. */
function QuotasForm(props: { id: string; quotas: Quotas; tag: string }) {
  const { api } = useMe();
  const queries = useQueryClient();
  const [quotas, setQuotas] = useState(props.quotas);
  const save = useMutation({
    mutationFn: () =>
      answer(
        api.PUT("/v1/tenants/{id}/quotas", {
          params: { path: { id: props.id }, header: { "If-Match": props.tag } },
          body: quotas,
        }),
      ),
    onSuccess: () => void queries.invalidateQueries({ queryKey: ["quotas", props.id] }),
  });
  const outrun = save.error instanceof Refused && save.error.status === 412;
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
          <Problem error={outrun ? t.tenant.changed : save.error} />
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
