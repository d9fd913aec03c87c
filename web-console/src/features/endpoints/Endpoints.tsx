import { Group, Select, Stack, Table, Title, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { type Endpoint, type Party, all, answer } from "../../api/client";
import { fromBase64, sha256, toHex } from "../../lib/crypto";
import { mayOperate, useMe } from "../../api/me";
import { Act, ActWithReason } from "../../components/Act";
import { Rows } from "../../components/Rows";
import { Answered } from "../../components/Said";
import { Secret } from "../../components/Secret";
import { State } from "../../components/State";
import { Time } from "../../components/Time";
import { t } from "../../lib/strings";

export function Endpoints() {
  const me = useMe();
  const query = useQuery({
    queryKey: ["endpoints"],
    queryFn: async () => {
      const endpoints = await all<Endpoint>((cursor) =>
        me.api.GET("/v1/endpoints", { params: { query: cursor === undefined ? {} : { cursor } } }),
      );
      return Promise.all(
        endpoints.map(async (endpoint) => ({
          endpoint,
          fingerprint: toHex(await sha256(fromBase64(endpoint.signing_key))),
        })),
      );
    },
  });
  return (
    <Stack>
      <Group justify="space-between">
        <Title order={2}>{t.pages.endpoints}</Title>
        {mayOperate(me) && <Enrol />}
      </Group>
      <Answered query={query} empty={t.endpoints.none}>
        {(endpoints) => (
          <Rows
            acts
            heads={[
              t.endpoints.name,
              t.endpoints.role,
              t.endpoints.state,
              t.endpoints.seen,
              t.endpoints.version,
              t.endpoints.fingerprint,
              t.endpoints.error,
            ]}
          >
            {endpoints.map(({ endpoint, fingerprint }) => (
              <Table.Tr key={endpoint.id}>
                <Table.Th scope="row">{endpoint.name}</Table.Th>
                <Table.Td>{endpoint.role}</Table.Td>
                <Table.Td>
                  <State
                    state={
                      endpoint.state === "revoked"
                        ? t.endpoints.revoked
                        : endpoint.lost_at
                          ? t.endpoints.lost
                          : t.endpoints.healthy
                    }
                  />
                </Table.Td>
                <Table.Td>
                  <Time at={endpoint.last_seen_at} />
                </Table.Td>
                <Table.Td>{endpoint.version}</Table.Td>
                <Table.Td>
                  <Tooltip label={fingerprint}>
                    <code tabIndex={0}>{fingerprint.slice(0, 16)}…</code>
                  </Tooltip>
                </Table.Td>
                <Table.Td>
                  {endpoint.last_error ? (
                    <>
                      <Time at={endpoint.last_error_at} /> {endpoint.last_error}
                    </>
                  ) : (
                    t.endpoints.noError
                  )}
                </Table.Td>
                <Table.Td>
                  {mayOperate(me) && endpoint.state === "active" && (
                    <ActWithReason
                      label={t.endpoints.revoke}
                      hint={t.endpoints.revokeHint}
                      danger
                      confirm={endpoint.name}
                      act={async (reason) => {
                        await answer(
                          me.api.POST("/v1/endpoints/{id}/revoke", {
                            params: { path: { id: endpoint.id } },
                            body: { reason },
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
    </Stack>
  );
}

/** A one-use token for an agent of a producer or a consumer. */
function Enrol() {
  const { api } = useMe();
  const [chosen, setChosen] = useState<string | null>(null);
  const query = useQuery({
    queryKey: ["parties"],
    queryFn: async () => {
      const of = async (side: "consumer" | "producer") => {
        const path = `/v1/${side}s` as const;
        const parties = await all<Party>((cursor) =>
          api.GET(path, { params: { query: cursor === undefined ? {} : { cursor } } }),
        );
        return parties.map(({ id, name }) => ({
          value: `${side}:${id}`,
          label: `${name} (${side})`,
        }));
      };
      return [...(await of("consumer")), ...(await of("producer"))];
    },
  });
  return (
    <Act
      label={t.endpoints.enrol}
      submit={t.create}
      button={{ variant: "filled" }}
      act={async () => {
        const [side, id] = (chosen ?? ":").split(":");
        const { token } = await answer(
          api.POST("/v1/enrolment-tokens", {
            body: { role: side === "producer" ? "producer" : "consumer", party_id: id ?? "" },
          }),
        );
        return <Secret label={t.endpoints.token} text={token} />;
      }}
    >
      <Select
        label={t.endpoints.party}
        required
        searchable
        data={query.data ?? []}
        value={chosen}
        onChange={setChosen}
      />
    </Act>
  );
}
