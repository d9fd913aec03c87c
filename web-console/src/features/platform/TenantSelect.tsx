import { Select } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import { t } from "../../lib/strings";
import { useTenants } from "./useTenants";

/** Selects the tenant to view; cleared, it returns to the system page. */
export function TenantSelect(props: { tenant: string | undefined }) {
  const [typed, setTyped] = useState("");
  const [search] = useDebouncedValue(typed, 250);
  const navigate = useNavigate();
  const tenants = useTenants(search).data ?? [];
  return (
    <Select
      aria-label={t.tenant.switch}
      placeholder={t.tenant.all}
      size="xs"
      w={{ base: 130, sm: 220 }}
      searchable
      clearable
      clearButtonProps={{ "aria-label": t.tenant.all }}
      nothingFoundMessage={t.tenant.none}
      data={tenants.map((tenant) => ({ value: tenant.id, label: tenant.name }))}
      // The control plane has filtered already, by ID too.
      filter={({ options }) => options}
      value={props.tenant ?? null}
      onSearchChange={(text) =>
        setTyped(tenants.some((tenant) => tenant.name === text) ? "" : text)
      }
      onChange={(id) =>
        void (id ? navigate({ to: "/tenants/$id", params: { id } }) : navigate({ to: "/system" }))
      }
    />
  );
}
