import { Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";

import { useAuth } from "../../api/AuthContext";
import { type Tenant, unwrap, unwrapEmpty, unwrapWithEtag } from "../../api/client";
import { ActionDialog } from "../../components/ActionDialog";
import { OverviewMetrics } from "../../components/OverviewMetrics";
import { PageHeader } from "../../components/PageHeader";
import { QueryState } from "../../components/QueryState";
import { ReasonDialog } from "../../components/ReasonDialog";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";
import { QuotasForm } from "./QuotasForm";

const REFETCH_INTERVAL_MS = 5_000;

/** A tenant as platform administrators see it: figures and quotas, none of its content. */
export function TenantPage() {
  const { id } = useParams({ from: "/tenants/$id" });
  const { api } = useAuth();
  const path = { params: { path: { id } } };
  const tenant = useQuery({
    queryKey: ["tenant", id],
    queryFn: () => unwrap(api.GET("/v1/tenants/{id}", path)),
  });
  const overview = useQuery({
    queryKey: ["tenant-overview", id],
    refetchInterval: REFETCH_INTERVAL_MS,
    queryFn: () => unwrap(api.GET("/v1/tenants/{id}/overview", path)),
  });
  const quotas = useQuery({
    queryKey: ["quotas", id],
    queryFn: () => unwrapWithEtag(api.GET("/v1/tenants/{id}/quotas", path)),
  });
  return (
    <Stack>
      <QueryState query={tenant}>{(tenant) => <TenantHeader tenant={tenant} />}</QueryState>
      <Text c="dimmed">{t.tenant.hint}</Text>
      <QueryState query={overview}>
        {(overview) => <OverviewMetrics overview={overview} />}
      </QueryState>
      <QueryState query={quotas}>
        {({ data, etag }) => <QuotasForm key={etag} tenantId={id} quotas={data} etag={etag} />}
      </QueryState>
    </Stack>
  );
}

function TenantHeader(props: { tenant: Tenant }) {
  const { tenant } = props;
  return (
    <>
      <PageHeader title={tenant.name}>
        {!tenant.deleted_at && <TenantActions tenant={tenant} />}
      </PageHeader>
      <Text>
        <code>{tenant.id}</code> · {t.system.since} <Timestamp at={tenant.created_at} />
        {tenant.deleted_at && (
          <>
            {" "}
            · {t.tenant.deleted} <Timestamp at={tenant.deleted_at} />
          </>
        )}
      </Text>
    </>
  );
}

function TenantActions(props: { tenant: Tenant }) {
  const { api } = useAuth();
  const navigate = useNavigate();
  const { id, name } = props.tenant;
  const path = { params: { path: { id } } };
  return (
    <>
      <ReasonDialog
        label={t.tenant.fence}
        hint={t.tenant.fenceHint}
        danger
        confirmText={name}
        onSubmit={async (reason) => {
          await unwrap(api.POST("/v1/tenants/{id}/fence", { ...path, body: { reason } }));
        }}
      />
      <ActionDialog
        label={t.tenant.delete}
        hint={t.tenant.deleteHint}
        danger
        confirmText={name}
        onSubmit={async () => {
          await unwrapEmpty(api.DELETE("/v1/tenants/{id}", path));
          await navigate({ to: "/system" });
        }}
      />
    </>
  );
}
