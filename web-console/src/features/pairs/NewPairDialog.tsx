import { Select, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";

import { type Api, type Party, type Policy, fetchAllPages, unwrap } from "../../api/client";
import { useAuth } from "../../api/AuthContext";
import { t } from "../../lib/strings";
import { ActionDialog } from "../../components/ActionDialog";
import { OneTimeSecret } from "../../components/OneTimeSecret";

/** Guides from two names to the commands that enrol the two agents. */
export function NewPairDialog() {
  const { api } = useAuth();
  const [consumer, setConsumer] = useState("");
  const [producer, setProducer] = useState("");
  const [suite, setSuite] = useState("1");
  const [reporting, setReporting] = useState<"batched" | "strict">("batched");

  const create = async () => {
    const consumerId = await findOrCreateParty(api, "consumer", consumer.trim());
    const producerId = await findOrCreateParty(api, "producer", producer.trim());
    await unwrap(
      api.POST("/v1/pairs", {
        body: {
          consumer_id: consumerId,
          producer_id: producerId,
          // What is left out has its default.
          policy: { suite: Number(suite), reporting } as Policy,
        },
      }),
    );
    const commands = await Promise.all([
      enrolCommand(api, "producer", producerId, "--upstream http://127.0.0.1:8080"),
      enrolCommand(api, "consumer", consumerId, ""),
    ]);
    return (
      <Stack>
        <Text>{t.pairs.enrol}</Text>
        {commands.map(([side, text]) => (
          <OneTimeSecret key={side} label={side} text={text} />
        ))}
      </Stack>
    );
  };

  return (
    <ActionDialog label={t.pairs.new} submitLabel={t.create} onSubmit={create} primary>
      <TextInput
        label={t.pairs.newConsumer}
        description={t.pairs.newHint}
        required
        maxLength={100}
        value={consumer}
        onChange={(event) => setConsumer(event.currentTarget.value)}
        data-autofocus
      />
      <TextInput
        label={t.pairs.newProducer}
        description={t.pairs.newHint}
        required
        maxLength={100}
        value={producer}
        onChange={(event) => setProducer(event.currentTarget.value)}
      />
      <Select
        label={t.pairs.suite}
        allowDeselect={false}
        data={[
          { value: "1", label: "1: X25519" },
          { value: "2", label: "2: X25519 + ML-KEM-768" },
        ]}
        value={suite}
        onChange={(value) => setSuite(value ?? "1")}
      />
      <Select
        label={t.pairs.reporting}
        allowDeselect={false}
        data={["batched", "strict"]}
        value={reporting}
        onChange={(value) => setReporting(value === "strict" ? "strict" : "batched")}
      />
    </ActionDialog>
  );
}

type Role = "consumer" | "producer";

/** The id of the party of a name, registered if there is none. */
async function findOrCreateParty(api: Api, side: Role, name: string): Promise<string> {
  const path = `/v1/${side}s` as const;
  const known = await fetchAllPages<Party>((query) => api.GET(path, { params: { query } }));
  const found = known.find((one) => one.name === name);
  return (found ?? (await unwrap(api.POST(path, { body: { name } })))).id;
}

async function enrolCommand(
  api: Api,
  side: Role,
  id: string,
  rest: string,
): Promise<[Role, string]> {
  const { token } = await unwrap(
    api.POST("/v1/enrolment-tokens", { body: { role: side, party_id: id } }),
  );
  return [
    side,
    [
      `(umask 077 && echo ${token} > enrolment)`,
      `armour-agent ${side} --control-plane ${window.location.origin} --data-dir ./agent \\`,
      `    --enrol-token-file enrolment ${rest}`.trimEnd(),
    ].join("\n"),
  ];
}
