import {
  Button,
  Group,
  Modal,
  NumberInput,
  PasswordInput,
  Select,
  Stack,
  Table,
  Tabs,
  TextInput,
  Textarea,
  Title,
} from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import {
  type ApiToken,
  type Delivery,
  type Session,
  type Webhook,
  fetchAllPages,
  unwrap,
  unwrapEmpty,
} from "../../api/client";
import { canAdminister, useAuth } from "../../api/AuthContext";
import { ActionDialog } from "../../components/ActionDialog";
import { DataTable } from "../../components/DataTable";
import { QueryState } from "../../components/QueryState";
import { OneTimeSecret } from "../../components/OneTimeSecret";
import { StateBadge } from "../../components/StateBadge";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";

const ROLES = ["tenant-admin", "operator", "auditor"] as const;
type Role = (typeof ROLES)[number];

export function AccessPage() {
  const auth = useAuth();
  // An operator sees their own sessions, and nothing of what others may.
  const sees = auth.whoami.role !== "operator";
  return (
    <Stack>
      <Title order={2}>{t.pages.access}</Title>
      <Tabs defaultValue="sessions" keepMounted={false}>
        <Tabs.List>
          <Tabs.Tab value="sessions">{t.access.sessions}</Tabs.Tab>
          {sees && <Tabs.Tab value="tokens">{t.access.tokens}</Tabs.Tab>}
          {sees && <Tabs.Tab value="issuers">{t.access.issuers}</Tabs.Tab>}
          {sees && <Tabs.Tab value="webhooks">{t.access.webhooks}</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="sessions" pt="md">
          <Sessions />
        </Tabs.Panel>
        <Tabs.Panel value="tokens" pt="md">
          <Tokens />
        </Tabs.Panel>
        <Tabs.Panel value="issuers" pt="md">
          <Issuers />
        </Tabs.Panel>
        <Tabs.Panel value="webhooks" pt="md">
          <Webhooks />
        </Tabs.Panel>
      </Tabs>
    </Stack>
  );
}

function Sessions() {
  const { api } = useAuth();
  const query = useQuery({
    queryKey: ["sessions"],
    queryFn: () =>
      fetchAllPages<Session>((cursor) =>
        api.GET("/v1/sessions", { params: { query: cursor === undefined ? {} : { cursor } } }),
      ),
  });
  const heads = [
    t.access.person,
    t.access.role,
    t.access.browser,
    t.access.began,
    t.access.lastUsed,
    t.pairs.state,
  ];
  return (
    <QueryState query={query} emptyText={t.access.noSessions}>
      {(sessions) => (
        <DataTable hasActions columns={heads}>
          {sessions.map((session) => (
            <Table.Tr key={session.id}>
              <Table.Th scope="row">{session.name}</Table.Th>
              <Table.Td>{session.role}</Table.Td>
              <Table.Td title={session.user_agent}>{browser(session.user_agent)}</Table.Td>
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
                    ? t.access.thisOne
                    : t.access.active}
              </Table.Td>
              <Table.Td>
                {!session.ended_at && (
                  <ActionDialog
                    label={t.access.end}
                    title={`${t.access.end}: ${session.name}`}
                    danger
                    onSubmit={() =>
                      unwrapEmpty(
                        api.DELETE("/v1/sessions/{id}", { params: { path: { id: session.id } } }),
                      )
                    }
                  />
                )}
              </Table.Td>
            </Table.Tr>
          ))}
        </DataTable>
      )}
    </QueryState>
  );
}

function Tokens() {
  const auth = useAuth();
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("operator");
  const [days, setDays] = useState<string | number>(90);
  const query = useQuery({
    queryKey: ["api-tokens"],
    queryFn: () =>
      fetchAllPages<ApiToken>((cursor) =>
        auth.api.GET("/v1/api-tokens", {
          params: { query: cursor === undefined ? {} : { cursor } },
        }),
      ),
  });
  const path = (id: string) => ({ params: { path: { id } } });
  const heads = [
    t.access.name,
    t.access.role,
    t.access.prefix,
    t.access.lastUsed,
    t.access.expires,
  ];
  return (
    <Stack>
      {canAdminister(auth) && (
        <Group justify="flex-end">
          <ActionDialog
            label={t.access.newToken}
            submitLabel={t.create}
            buttonProps={{ variant: "filled" }}
            onSubmit={async () => {
              const body = {
                name,
                role,
                ...(days === "" ? {} : { expires_in_s: Number(days) * 86_400 }),
              };
              const { token } = await unwrap(auth.api.POST("/v1/api-tokens", { body }));
              return <OneTimeSecret label={name} text={token} />;
            }}
          >
            <TextInput
              label={t.access.name}
              required
              maxLength={100}
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
              data-autofocus
            />
            <Select
              label={t.access.role}
              data={[...ROLES]}
              allowDeselect={false}
              value={role}
              onChange={(value) => setRole((value ?? "operator") as Role)}
            />
            <NumberInput label={t.access.days} min={1} max={730} value={days} onChange={setDays} />
          </ActionDialog>
        </Group>
      )}
      <QueryState query={query} emptyText={t.access.noTokens}>
        {(tokens) => (
          <DataTable hasActions columns={heads}>
            {tokens
              .filter((token) => !token.revoked_at)
              .map((token) => (
                <Table.Tr key={token.id}>
                  <Table.Th scope="row">{token.name}</Table.Th>
                  <Table.Td>{token.role}</Table.Td>
                  <Table.Td>
                    <code>{token.prefix.slice(0, 24)}…</code>
                  </Table.Td>
                  <Table.Td>
                    <Timestamp at={token.last_used_at} emptyText={t.access.never} />
                  </Table.Td>
                  <Table.Td>
                    <Timestamp at={token.expires_at} emptyText={t.access.never} />
                  </Table.Td>
                  <Table.Td>
                    {canAdminister(auth) && (
                      <Group gap="xs" wrap="nowrap">
                        <ActionDialog
                          label={t.access.rotate}
                          title={`${t.access.rotate}: ${token.name}`}
                          onSubmit={async () => {
                            const made = await unwrap(
                              auth.api.POST("/v1/api-tokens/{id}/rotate", {
                                ...path(token.id),
                                body: { overlap_s: 3600 },
                              }),
                            );
                            return <OneTimeSecret label={token.name} text={made.token} />;
                          }}
                        />
                        <ActionDialog
                          label={t.access.revoke}
                          title={`${t.access.revoke}: ${token.name}`}
                          danger
                          confirmText={token.name}
                          onSubmit={() =>
                            unwrapEmpty(auth.api.DELETE("/v1/api-tokens/{id}", path(token.id)))
                          }
                        />
                      </Group>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
          </DataTable>
        )}
      </QueryState>
    </Stack>
  );
}

function Issuers() {
  const auth = useAuth();
  const [name, setName] = useState("");
  const [url, setUrl] = useState("");
  const [audience, setAudience] = useState("");
  const [secret, setSecret] = useState("");
  const [groups, setGroups] = useState("");
  const query = useQuery({
    queryKey: ["issuers"],
    queryFn: () => unwrap(auth.api.GET("/v1/issuers")),
  });
  const heads = [t.access.name, t.access.kind, t.access.url, t.access.client, t.access.role];
  return (
    <Stack>
      {canAdminister(auth) && (
        <Group justify="flex-end">
          <ActionDialog
            label={t.access.newIssuer}
            submitLabel={t.create}
            buttonProps={{ variant: "filled" }}
            onSubmit={async () => {
              const roles = groups
                .split("\n")
                .map((line) => /^(.*)=([^=]*)$/.exec(line.trim()))
                .filter((found) => found !== null)
                .map(([, group, role]) => [group, role] as [string, Role]);
              await unwrap(
                auth.api.POST("/v1/issuers", {
                  body: {
                    kind: "people",
                    name,
                    url,
                    audience,
                    role_map: Object.fromEntries(roles),
                    scopes: ["profile", "groups"],
                    ...(secret === "" ? {} : { client_secret: secret }),
                  },
                }),
              );
            }}
          >
            <TextInput
              label={t.access.name}
              required
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
              data-autofocus
            />
            <TextInput
              label={t.access.issuerUrl}
              required
              type="url"
              value={url}
              onChange={(event) => setUrl(event.currentTarget.value)}
            />
            <TextInput
              label={t.access.client}
              required
              value={audience}
              onChange={(event) => setAudience(event.currentTarget.value)}
            />
            <PasswordInput
              label={t.access.secret}
              value={secret}
              onChange={(event) => setSecret(event.currentTarget.value)}
              autoComplete="off"
            />
            <Textarea
              label={t.access.groups}
              required
              autosize
              minRows={2}
              value={groups}
              onChange={(event) => setGroups(event.currentTarget.value)}
            />
          </ActionDialog>
        </Group>
      )}
      <QueryState query={query} emptyText={t.access.noIssuers}>
        {(issuers) => (
          <DataTable hasActions columns={heads}>
            {issuers.map((issuer) => (
              <Table.Tr key={issuer.id}>
                <Table.Th scope="row">{issuer.name}</Table.Th>
                <Table.Td>{issuer.kind}</Table.Td>
                <Table.Td>{issuer.url}</Table.Td>
                <Table.Td>{issuer.audience}</Table.Td>
                <Table.Td>
                  {Object.entries(issuer.role_map).map(([group, role]) => (
                    <div key={group}>
                      {group} → {role}
                    </div>
                  ))}
                </Table.Td>
                <Table.Td>
                  {canAdminister(auth) && (
                    <ActionDialog
                      label={t.remove}
                      title={`${t.remove}: ${issuer.name}`}
                      danger
                      confirmText={issuer.name}
                      onSubmit={() =>
                        unwrapEmpty(
                          auth.api.DELETE("/v1/issuers/{id}", {
                            params: { path: { id: issuer.id } },
                          }),
                        )
                      }
                    />
                  )}
                </Table.Td>
              </Table.Tr>
            ))}
          </DataTable>
        )}
      </QueryState>
    </Stack>
  );
}

function Webhooks() {
  const auth = useAuth();
  const [url, setUrl] = useState("");
  const [kinds, setKinds] = useState("*");
  const [shown, setShown] = useState<Webhook>();
  const query = useQuery({
    queryKey: ["webhooks"],
    queryFn: () =>
      fetchAllPages<Webhook>((cursor) =>
        auth.api.GET("/v1/webhooks", { params: { query: cursor === undefined ? {} : { cursor } } }),
      ),
  });
  return (
    <Stack>
      {canAdminister(auth) && (
        <Group justify="flex-end">
          <ActionDialog
            label={t.access.newWebhook}
            submitLabel={t.create}
            buttonProps={{ variant: "filled" }}
            onSubmit={async () => {
              const body = { url, kinds: kinds.split(",").map((kind) => kind.trim()) };
              const { secret } = await unwrap(auth.api.POST("/v1/webhooks", { body }));
              return <OneTimeSecret label={url} text={secret} />;
            }}
          >
            <TextInput
              label={t.access.url}
              required
              type="url"
              value={url}
              onChange={(event) => setUrl(event.currentTarget.value)}
              data-autofocus
            />
            <TextInput
              label={t.access.kinds}
              required
              value={kinds}
              onChange={(event) => setKinds(event.currentTarget.value)}
            />
          </ActionDialog>
        </Group>
      )}
      <QueryState query={query} emptyText={t.access.noWebhooks}>
        {(webhooks) => (
          <DataTable hasActions columns={[t.access.url, t.access.kind]}>
            {webhooks.map((webhook) => (
              <Table.Tr key={webhook.id}>
                <Table.Th scope="row">{webhook.url}</Table.Th>
                <Table.Td>{webhook.kinds.join(", ")}</Table.Td>
                <Table.Td>
                  <Group gap="xs" wrap="nowrap">
                    <Button size="xs" variant="default" onClick={() => setShown(webhook)}>
                      {t.access.deliveries}
                    </Button>
                    {canAdminister(auth) && (
                      <ActionDialog
                        label={t.remove}
                        title={`${t.remove}: ${webhook.url}`}
                        danger
                        onSubmit={() =>
                          unwrapEmpty(
                            auth.api.DELETE("/v1/webhooks/{id}", {
                              params: { path: { id: webhook.id } },
                            }),
                          )
                        }
                      />
                    )}
                  </Group>
                </Table.Td>
              </Table.Tr>
            ))}
          </DataTable>
        )}
      </QueryState>
      <Modal
        opened={shown !== undefined}
        onClose={() => setShown(undefined)}
        title={t.access.deliveries}
        size="xl"
        closeButtonProps={{ "aria-label": t.close }}
      >
        {shown && <Deliveries webhook={shown} />}
      </Modal>
    </Stack>
  );
}

function Deliveries(props: { webhook: Webhook }) {
  const auth = useAuth();
  const { id } = props.webhook;
  const query = useQuery({
    queryKey: ["deliveries", id],
    refetchInterval: 2_000,
    queryFn: async () =>
      (await unwrap(auth.api.GET("/v1/webhooks/{id}/deliveries", { params: { path: { id } } })))
        .items,
  });
  const heads = [t.access.kind, t.pairs.state, t.access.attempts, t.access.result, t.collisions.at];
  const result = (delivery: Delivery) => delivery.last_error ?? delivery.last_status ?? "–";
  return (
    <QueryState query={query} emptyText={t.access.noDeliveries}>
      {(deliveries) => (
        <DataTable hasActions columns={heads}>
          {deliveries.map((delivery) => (
            <Table.Tr key={delivery.id}>
              <Table.Th scope="row">{delivery.kind}</Table.Th>
              <Table.Td>
                <StateBadge state={delivery.state} />
              </Table.Td>
              <Table.Td>{delivery.attempts}</Table.Td>
              <Table.Td>{result(delivery)}</Table.Td>
              <Table.Td>
                <Timestamp at={delivery.created_at} />
              </Table.Td>
              <Table.Td>
                {canAdminister(auth) && (
                  <ActionDialog
                    label={t.access.replay}
                    onSubmit={async () => {
                      await unwrap(
                        auth.api.POST("/v1/webhooks/{id}/deliveries/{delivery}/replay", {
                          params: { path: { id, delivery: delivery.id } },
                        }),
                      );
                    }}
                  />
                )}
              </Table.Td>
            </Table.Tr>
          ))}
        </DataTable>
      )}
    </QueryState>
  );
}

/** The browser's name and version, where the text has one of the usual forms. */
function browser(agent: string): string {
  const found = /(Firefox|Edg|Chrome|Version)\/(\d+)/.exec(agent);
  return found ? `${found[1]} ${found[2]}` : agent.slice(0, 20);
}
