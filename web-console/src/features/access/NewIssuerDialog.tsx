import { PasswordInput, Select, TextInput, Textarea } from "@mantine/core";
import { useInputState } from "@mantine/hooks";
import { useState } from "react";

import { useAuth } from "../../api/AuthContext";
import { type ClientAuthentication, unwrap } from "../../api/client";
import { ActionDialog } from "../../components/ActionDialog";
import { t } from "../../lib/strings";
import type { AssignableRole } from "./roles";

export function NewIssuerDialog() {
  const { api } = useAuth();
  const [name, setName] = useInputState("");
  const [url, setUrl] = useInputState("");
  const [clientId, setClientId] = useInputState("");
  const [secret, setSecret] = useInputState("");
  const [shown, setShown] = useState<ClientAuthentication>("auto");
  const [groups, setGroups] = useInputState("");
  return (
    <ActionDialog
      label={t.access.newIssuer}
      submitLabel={t.create}
      primary
      onSubmit={async () => {
        await unwrap(
          api.POST("/v1/issuers", {
            body: {
              kind: "people",
              name,
              url,
              audience: clientId,
              role_map: parseRoleMap(groups),
              scopes: ["profile", "groups"],
              ...(secret === "" ? {} : { client_secret: secret, client_authentication: shown }),
            },
          }),
        );
      }}
    >
      <TextInput label={t.name} required value={name} onChange={setName} data-autofocus />
      <TextInput label={t.access.issuerUrl} required type="url" value={url} onChange={setUrl} />
      <TextInput label={t.access.client} required value={clientId} onChange={setClientId} />
      <PasswordInput
        label={t.access.secret}
        value={secret}
        onChange={setSecret}
        autoComplete="off"
      />
      <Select
        label={t.access.secretShown}
        data={SHOWN.map((value) => ({ value, label: t.access.secretsShown[value] }))}
        value={shown}
        onChange={(value) => setShown(value ?? "auto")}
        allowDeselect={false}
        disabled={secret === ""}
      />
      <Textarea
        label={t.access.groups}
        required
        autosize
        minRows={2}
        value={groups}
        onChange={setGroups}
      />
    </ActionDialog>
  );
}

const SHOWN: ClientAuthentication[] = ["auto", "basic", "basic-raw", "post"];

/** Parses lines of `group=role`. The control plane refuses an unknown role. */
function parseRoleMap(text: string): Record<string, AssignableRole> {
  const entries = text
    .split("\n")
    .map((line) => /^(.*)=([^=]*)$/.exec(line.trim()))
    .filter((match) => match !== null)
    .map(([, group, role]) => [group, role] as [string, AssignableRole]);
  return Object.fromEntries(entries);
}
