import { Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";

import { useAuth } from "../../api/AuthContext";
import { unwrapWithEtag } from "../../api/client";
import { PageHeader } from "../../components/PageHeader";
import { PairActions } from "../../components/PairActions";
import { QueryState } from "../../components/QueryState";
import { StateBadge } from "../../components/StateBadge";
import { BundlesTable } from "./BundlesTable";
import { PairHistory } from "./PairHistory";
import { PolicyForm } from "./PolicyForm";

export function PairPage() {
  const { id } = useParams({ from: "/pairs/$id" });
  const { api } = useAuth();
  // Kept here because the form is created anew for each version of the pair.
  const [hasConflict, setHasConflict] = useState(false);
  const query = useQuery({
    queryKey: ["pair", id],
    queryFn: () => unwrapWithEtag(api.GET("/v1/pairs/{id}", { params: { path: { id } } })),
  });
  return (
    <QueryState query={query}>
      {({ data: pair, etag }) => (
        <Stack>
          <PageHeader title={`${pair.consumer_name} → ${pair.producer_name}`}>
            <StateBadge state={pair.state} />
            <PairActions pair={pair} etag={etag} />
          </PageHeader>
          <BundlesTable pairId={pair.id} />
          <PolicyForm
            key={etag}
            pair={pair}
            etag={etag}
            hasConflict={hasConflict}
            onConflictChange={setHasConflict}
          />
          <PairHistory pairId={pair.id} />
        </Stack>
      )}
    </QueryState>
  );
}
