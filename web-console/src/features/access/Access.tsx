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
  all,
  answer,
  done,
} from "../../api/client";
import { mayAdminister, useMe } from "../../api/me";
import { Act } from "../../components/Act";
import { Rows } from "../../components/Rows";
import { Answered } from "../../components/Said";
import { Secret } from "../../components/Secret";
import { State } from "../../components/State";
import { Time } from "../../components/Time";
import { t } from "../../lib/strings";

const ROLES = ["tenant-admin", "operator", "auditor"] as const;
type Role = (typeof ROLES)[number];

export function Access() {
  const me = useMe();
  // An operator sees their own sessions, and nothing of what others may.
  const sees = me.who.role !== "operator";
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
  const { api } = useMe();
  const query = useQuery({
    queryKey: ["sessions"],
    queryFn: () =>
      all<Session>((cursor) =>
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
    <Answered query={query} empty={t.access.noSessions}>
      {(sessions) => (
        <Rows acts heads={heads}>
          {sessions.map((session) => (
            <Table.Tr key={session.id}>
              <Table.Th scope="row">{session.name}</Table.Th>
              <Table.Td>{session.role}</Table.Td>
              <Table.Td title={session.user_agent}>{browser(session.user_agent)}</Table.Td>
              <Table.Td>
                <Time at={session.created_at} />
              </Table.Td>
              <Table.Td>
                <Time at={session.last_used_at} />
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
                  <Act
                    label={t.access.end}
                    title={`${t.access.end}: ${session.name}`}
                    danger
                    act={() =>
                      done(
                        api.DELETE("/v1/sessions/{id}", { params: { path: { id: session.id } } }),
                      )
                    }
                  />
                )}
              </Table.Td>
            </Table.Tr>
          ))}
        </Rows>
      )}
    </Answered>
  );
}

function Tokens() {
  const me = useMe();
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("operator");
  const [days, setDays] = useState<string | number>(90);
  const query = useQuery({
    queryKey: ["api-tokens"],
    queryFn: () =>
      all<ApiToken>((cursor) =>
        me.api.GET("/v1/api-tokens", { params: { query: cursor === undefined ? {} : { cursor } } }),
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
      {mayAdminister(me) && (
        <Group justify="flex-end">
          <Act
            label={t.access.newToken}
            submit={t.create}
            button={{ variant: "filled" }}
            act={async () => {
              const body = {
                name,
                role,
                ...(days === "" ? {} : { expires_in_s: Number(days) * 86_400 }),
              };
              const { token } = await answer(me.api.POST("/v1/api-tokens", { body }));
              return <Secret label={name} text={token} />;
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
          </Act>
        </Group>
      )}
      <Answered query={query} empty={t.access.noTokens}>
        {(tokens) => (
          <Rows acts heads={heads}>
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
                    <Time at={token.last_used_at} none={t.access.never} />
                  </Table.Td>
                  <Table.Td>
                    <Time at={token.expires_at} none={t.access.never} />
                  </Table.Td>
                  <Table.Td>
                    {mayAdminister(me) && (
                      <Group gap="xs" wrap="nowrap">
                        <Act
                          label={t.access.rotate}
                          title={`${t.access.rotate}: ${token.name}`}
                          act={async () => {
                            const made = await answer(
                              me.api.POST("/v1/api-tokens/{id}/rotate", {
                                ...path(token.id),
                                body: { overlap_s: 3600 },
                              }),
                            );
                            return <Secret label={token.name} text={made.token} />;
                          }}
                        />
                        <Act
                          label={t.access.revoke}
                          title={`${t.access.revoke}: ${token.name}`}
                          danger
                          confirm={token.name}
                          act={() => done(me.api.DELETE("/v1/api-tokens/{id}", path(token.id)))}
                        />
                      </Group>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
          </Rows>
        )}
      </Answered>
    </Stack>
  );
}

function Issuers() {
  const me = useMe();
  const [name, setName] = useState("");
  const [url, setUrl] = useState("");
  const [audience, setAudience] = useState("");
  const [secret, setSecret] = useState("");
  const [groups, setGroups] = useState("");
  const query = useQuery({
    queryKey: ["issuers"],
    queryFn: () => answer(me.api.GET("/v1/issuers")),
  });
  const heads = [t.access.name, t.access.kind, t.access.url, t.access.client, t.access.role];
  return (
    <Stack>
      {mayAdminister(me) && (
        <Group justify="flex-end">
          <Act
            label={t.access.newIssuer}
            submit={t.create}
            button={{ variant: "filled" }}
            act={async () => {
              const roles = groups
                .split("\n")
                .map((line) => /^(.*)=([^=]*)$/.exec(line.trim()))
                .filter((found) => found !== null)
                .map(([, group, role]) => [group, role] as [string, Role]);
              await answer(
                me.api.POST("/v1/issuers", {
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
          </Act>
        </Group>
      )}
      <Answered query={query} empty={t.access.noIssuers}>
        {(issuers) => (
          <Rows acts heads={heads}>
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
                  {mayAdminister(me) && (
                    <Act
                      label={t.remove}
                      title={`${t.remove}: ${issuer.name}`}
                      danger
                      confirm={issuer.name}
                      act={() =>
                        done(
                          me.api.DELETE("/v1/issuers/{id}", {
                            params: { path: { id: issuer.id } },
                          }),
                        )
                      }
                    />
                  )}
                </Table.Td>
              </Table.Tr>
            ))}
          </Rows>
        )}
      </Answered>
    </Stack>
  );
}

function Webhooks() {
  const me = useMe();
  const [url, setUrl] = useState("");
  const [kinds, setKinds] = useState("*");
  const [shown, setShown] = useState<Webhook>();
  const query = useQuery({
    queryKey: ["webhooks"],
    queryFn: () =>
      all<Webhook>((cursor) =>
        me.api.GET("/v1/webhooks", { params: { query: cursor === undefined ? {} : { cursor } } }),
      ),
  });
  return (
    <Stack>
      {mayAdminister(me) && (
        <Group justify="flex-end">
          <Act
            label={t.access.newWebhook}
            submit={t.create}
            button={{ variant: "filled" }}
            act={async () => {
              const body = { url, kinds: kinds.split(",").map((kind) => kind.trim()) };
              const { secret } = await answer(me.api.POST("/v1/webhooks", { body }));
              return <Secret label={url} text={secret} />;
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
          </Act>
        </Group>
      )}
      <Answered query={query} empty={t.access.noWebhooks}>
        {(webhooks) => (
          <Rows acts heads={[t.access.url, t.access.kind]}>
            {webhooks.map((webhook) => (
              <Table.Tr key={webhook.id}>
                <Table.Th scope="row">{webhook.url}</Table.Th>
                <Table.Td>{webhook.kinds.join(", ")}</Table.Td>
                <Table.Td>
                  <Group gap="xs" wrap="nowrap">
                    <Button size="xs" variant="default" onClick={() => setShown(webhook)}>
                      {t.access.deliveries}
                    </Button>
                    {mayAdminister(me) && (
                      <Act
                        label={t.remove}
                        title={`${t.remove}: ${webhook.url}`}
                        danger
                        act={() =>
                          done(
                            me.api.DELETE("/v1/webhooks/{id}", {
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
          </Rows>
        )}
      </Answered>
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
  const me = useMe();
  const { id } = props.webhook;
  const query = useQuery({
    queryKey: ["deliveries", id],
    refetchInterval: 2_000,
    queryFn: async () =>
      (await answer(me.api.GET("/v1/webhooks/{id}/deliveries", { params: { path: { id } } })))
        .items,
  });
  const heads = [t.access.kind, t.pairs.state, t.access.attempts, t.access.result, t.collisions.at];
  const result = (delivery: Delivery) => delivery.last_error ?? delivery.last_status ?? "–";
  return (
    <Answered query={query} empty={t.access.noDeliveries}>
      {(deliveries) => (
        <Rows acts heads={heads}>
          {deliveries.map((delivery) => (
            <Table.Tr key={delivery.id}>
              <Table.Th scope="row">{delivery.kind}</Table.Th>
              <Table.Td>
                <State state={delivery.state} />
              </Table.Td>
              <Table.Td>{delivery.attempts}</Table.Td>
              <Table.Td>{result(delivery)}</Table.Td>
              <Table.Td>
                <Time at={delivery.created_at} />
              </Table.Td>
              <Table.Td>
                {mayAdminister(me) && (
                  <Act
                    label={t.access.replay}
                    act={async () => {
                      await answer(
                        me.api.POST("/v1/webhooks/{id}/deliveries/{delivery}/replay", {
                          params: { path: { id, delivery: delivery.id } },
                        }),
                      );
                    }}
                  />
                )}
              </Table.Td>
            </Table.Tr>
          ))}
        </Rows>
      )}
    </Answered>
  );
}

/** The browser's name and version, where the text has one of the usual forms. */
function browser(agent: string): string {
  const found = /(Firefox|Edg|Chrome|Version)\/(\d+)/.exec(agent);
  return found ? `${found[1]} ${found[2]}` : agent.slice(0, 20);
}
