import { Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { useAuth } from "../../api/AuthContext";
import type { Role } from "../../api/client";
import { createEnrolmentToken, fetchParties } from "../../api/parties";
import { ActionDialog } from "../../components/ActionDialog";
import { OneTimeSecret } from "../../components/OneTimeSecret";
import { t } from "../../lib/strings";

/** Creates a one-time token for an agent of a consumer or a producer. */
export function EnrolAgentDialog() {
  const { api } = useAuth();
  const [selected, setSelected] = useState<string | null>(null);
  const query = useQuery({
    queryKey: ["parties"],
    queryFn: async () => {
      const options = async (role: Role) =>
        (await fetchParties(api, role)).map(({ id, name }) => ({
          value: `${role}:${id}`,
          label: `${name} (${role})`,
        }));
      return [...(await options("consumer")), ...(await options("producer"))];
    },
  });
  return (
    <ActionDialog
      label={t.endpoints.enrol}
      submitLabel={t.create}
      primary
      onSubmit={async () => {
        const [role, id = ""] = (selected ?? "").split(":");
        const token = await createEnrolmentToken(
          api,
          role === "producer" ? "producer" : "consumer",
          id,
        );
        return <OneTimeSecret label={t.endpoints.token} text={token} />;
      }}
    >
      <Select
        label={t.endpoints.party}
        required
        searchable
        data={query.data ?? []}
        value={selected}
        onChange={setSelected}
      />
    </ActionDialog>
  );
}
