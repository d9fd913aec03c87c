import { Select, Stack, Text } from "@mantine/core";
import { useInputState } from "@mantine/hooks";
import { useState } from "react";

import { useAuth } from "../../api/AuthContext";
import { type Api, type Policy, type Role, unwrap } from "../../api/client";
import { createEnrolmentToken, fetchParties } from "../../api/parties";
import { ActionDialog } from "../../components/ActionDialog";
import { NameInput } from "../../components/NameInput";
import { OneTimeSecret } from "../../components/OneTimeSecret";
import { t } from "../../lib/strings";
import { SUITES } from "./suites";

/** Creates a pair from two names, then shows the commands that enrol its two agents. */
export function NewPairDialog() {
  const { api } = useAuth();
  const [consumer, setConsumer] = useInputState("");
  const [producer, setProducer] = useInputState("");
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
          // The other fields take their defaults.
          policy: { suite: Number(suite), reporting } as Policy,
        },
      }),
    );
    const [producerCommand, consumerCommand] = await Promise.all([
      enrolCommand(api, "producer", producerId, "--upstream http://127.0.0.1:8080"),
      enrolCommand(api, "consumer", consumerId, ""),
    ]);
    return (
      <Stack>
        <Text>{t.pairs.enrol}</Text>
        <OneTimeSecret label="producer" text={producerCommand} />
        <OneTimeSecret label="consumer" text={consumerCommand} />
      </Stack>
    );
  };

  return (
    <ActionDialog label={t.pairs.new} submitLabel={t.create} primary onSubmit={create}>
      <NameInput
        label={t.pairs.newConsumer}
        description={t.pairs.newHint}
        value={consumer}
        onChange={setConsumer}
        data-autofocus
      />
      <NameInput
        label={t.pairs.newProducer}
        description={t.pairs.newHint}
        value={producer}
        onChange={setProducer}
      />
      <Select
        label={t.pairs.suite}
        allowDeselect={false}
        data={SUITES}
        value={suite}
        onChange={(value) => setSuite(value ?? "1")}
      />
      <Select
        label={t.pairs.reporting}
        allowDeselect={false}
        data={["batched", "strict"] as const}
        value={reporting}
        onChange={(value) => setReporting(value ?? "batched")}
      />
    </ActionDialog>
  );
}

/** The ID of the party with this name, which is created if it does not exist. */
async function findOrCreateParty(api: Api, role: Role, name: string): Promise<string> {
  const parties = await fetchParties(api, role);
  const found = parties.find((party) => party.name === name);
  return (found ?? (await unwrap(api.POST(`/v1/${role}s`, { body: { name } })))).id;
}

/** The command that enrols and starts an agent, with a one-time token. */
async function enrolCommand(
  api: Api,
  role: Role,
  partyId: string,
  options: string,
): Promise<string> {
  const token = await createEnrolmentToken(api, role, partyId);
  return [
    `(umask 077 && echo ${token} > enrolment)`,
    `armour-agent ${role} --control-plane ${window.location.origin} --data-dir ./agent \\`,
    `    --enrol-token-file enrolment ${options}`.trimEnd(),
  ].join("\n");
}
