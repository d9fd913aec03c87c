import { Group, Select, Stack } from "@mantine/core";
import { useNavigate, useSearch } from "@tanstack/react-router";

import { canOperate, useAuth } from "../../api/AuthContext";
import type { PairSort } from "../../api/client";
import { FilterInput } from "../../components/FilterInput";
import { PageHeader } from "../../components/PageHeader";
import { t } from "../../lib/strings";
import { NewPairDialog } from "./NewPairDialog";
import { PairList } from "./PairList";
import type { PairsSearch } from "./search";

const SORTS: { value: PairSort; label: string }[] = [
  { value: "newest", label: `${t.pairs.created} ↓` },
  { value: "oldest", label: `${t.pairs.created} ↑` },
  { value: "consumer", label: `${t.pairs.consumer} ↑` },
  { value: "consumer-descending", label: `${t.pairs.consumer} ↓` },
  { value: "producer", label: `${t.pairs.producer} ↑` },
  { value: "producer-descending", label: `${t.pairs.producer} ↓` },
];

export function PairsPage() {
  const auth = useAuth();
  const search = useSearch({ from: "/pairs" });
  const navigate = useNavigate({ from: "/pairs" });
  const change = (changes: PairsSearch) =>
    void navigate({ search: (current) => ({ ...current, ...changes }), replace: true });
  return (
    <Stack>
      <PageHeader title={t.pages.pairs}>{canOperate(auth) && <NewPairDialog />}</PageHeader>
      <Group align="end">
        <FilterInput
          label={t.pairs.search}
          type="search"
          maxLength={100}
          initialValue={search.search ?? ""}
          onChange={(text) => change({ search: text || undefined })}
        />
        <Select
          label={t.state}
          data={["active", "disconnected"]}
          placeholder={t.pairs.any}
          clearable
          value={search.state ?? null}
          onChange={(state) => change({ state: state ?? undefined })}
        />
        <Select
          label={t.pairs.sort}
          data={SORTS}
          allowDeselect={false}
          value={search.sort ?? "newest"}
          onChange={(sort) => change({ sort: sort ?? undefined })}
        />
      </Group>
      <PairList search={search} />
    </Stack>
  );
}
