import { NumberInput, Select } from "@mantine/core";
import { useInputState } from "@mantine/hooks";
import { useState } from "react";

import { useAuth } from "../../api/AuthContext";
import { unwrap } from "../../api/client";
import { ActionDialog } from "../../components/ActionDialog";
import { NameInput } from "../../components/NameInput";
import { OneTimeSecret } from "../../components/OneTimeSecret";
import { t } from "../../lib/strings";
import { type AssignableRole, ROLES } from "./roles";

const DAY_S = 86_400;

export function NewApiTokenDialog() {
  const { api } = useAuth();
  const [name, setName] = useInputState("");
  const [role, setRole] = useState<AssignableRole>("operator");
  const [days, setDays] = useState<string | number>(90);
  return (
    <ActionDialog
      label={t.access.newToken}
      submitLabel={t.create}
      primary
      onSubmit={async () => {
        const expiry = days === "" ? {} : { expires_in_s: Number(days) * DAY_S };
        const { token } = await unwrap(
          api.POST("/v1/api-tokens", { body: { name, role, ...expiry } }),
        );
        return <OneTimeSecret label={name} text={token} />;
      }}
    >
      <NameInput value={name} onChange={setName} data-autofocus />
      <Select
        label={t.role}
        data={ROLES}
        allowDeselect={false}
        value={role}
        onChange={(value) => setRole(value ?? "operator")}
      />
      <NumberInput label={t.access.days} min={1} max={730} value={days} onChange={setDays} />
    </ActionDialog>
  );
}
