import { Group, Modal, Stack, Switch } from "@mantine/core";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";

import { useAuth } from "../../api/AuthContext";
import { useCursorQuery } from "../../api/useCursorQuery";
import { FilterInput } from "../../components/FilterInput";
import { LoadMoreButton } from "../../components/LoadMoreButton";
import { PageHeader } from "../../components/PageHeader";
import { QueryState } from "../../components/QueryState";
import { t } from "../../lib/strings";
import { AuditEntryDetail } from "./AuditEntryDetail";
import { AuditTable } from "./AuditTable";
import { ExportButton } from "./ExportButton";
import type { AuditSearch } from "./search";
import { VerifyButton } from "./VerifyButton";

/** How often a followed log is polled. */
const FOLLOW_INTERVAL_MS = 2_000;
const FILTERS = ["actor", "action", "target"] as const;

export function AuditPage() {
  const search = useSearch({ from: "/audit" });
  const navigate = useNavigate({ from: "/audit" });
  const change = (changes: AuditSearch) =>
    void navigate({ search: (current) => ({ ...current, ...changes }), replace: true });
  const [isFollowing, setFollowing] = useState(false);
  const query = useAuditLog(search, isFollowing);
  return (
    <Stack>
      <PageHeader title={t.pages.audit}>
        <ExportButton />
        <VerifyButton />
      </PageHeader>
      <Group align="end">
        {FILTERS.map((field) => (
          <FilterInput
            key={field}
            label={t.audit[field]}
            initialValue={search[field] ?? ""}
            onChange={(text) => change({ [field]: text || undefined })}
          />
        ))}
        <Switch
          label={t.audit.follow}
          checked={isFollowing}
          onChange={(event) => setFollowing(event.currentTarget.checked)}
        />
      </Group>
      <QueryState query={query} emptyText={t.audit.none}>
        {(entries) => <AuditTable entries={entries} search={search} />}
      </QueryState>
      <LoadMoreButton query={query} />
      <Modal
        opened={search.entry !== undefined}
        onClose={() => change({ entry: undefined })}
        title={t.audit.detail}
        size="lg"
        closeButtonProps={{ "aria-label": t.close }}
      >
        {search.entry !== undefined && <AuditEntryDetail seq={search.entry} />}
      </Modal>
    </Stack>
  );
}

/** The entries that match a search, newest first. */
function useAuditLog(search: AuditSearch, isFollowing: boolean) {
  const { api } = useAuth();
  const { actor, action, target } = search;
  return useCursorQuery({
    queryKey: ["audit", actor, action, target],
    refetchInterval: isFollowing ? FOLLOW_INTERVAL_MS : false,
    fetchPage: (cursor) =>
      api.GET("/v1/audit", {
        params: {
          query: {
            ...(cursor ? { cursor: Number(cursor) } : {}),
            ...(actor ? { actor } : {}),
            ...(action ? { action } : {}),
            ...(target ? { target } : {}),
          },
        },
      }),
  });
}
