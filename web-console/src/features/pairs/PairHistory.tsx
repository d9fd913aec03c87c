import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { useAuth } from "../../api/AuthContext";
import { unwrap } from "../../api/client";
import { Card } from "../../components/Card";
import { PlainList, PlainListItem } from "../../components/PlainList";
import { QueryState } from "../../components/QueryState";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";

/** A pair's entries in the audit log, newest first. */
export function PairHistory(props: { pairId: string }) {
  const { api } = useAuth();
  const query = useQuery({
    queryKey: ["history", props.pairId],
    queryFn: async () => {
      const filter = { target: props.pairId };
      return (await unwrap(api.GET("/v1/audit", { params: { query: filter } }))).items;
    },
  });
  return (
    <Card title={t.pairs.history}>
      <QueryState query={query} emptyText={t.audit.none}>
        {(entries) => (
          <PlainList>
            {entries.map((entry) => (
              <PlainListItem key={entry.seq}>
                <Timestamp at={entry.created_at} />{" "}
                <Link to="/audit" search={{ entry: entry.seq }}>
                  {entry.action}
                </Link>{" "}
                <span>{entry.actor}</span> {quotedReason(entry.detail)}
              </PlainListItem>
            ))}
          </PlainList>
        )}
      </QueryState>
    </Card>
  );
}

function quotedReason(detail: unknown): string {
  const reason = (detail as { reason?: unknown } | null)?.reason;
  return typeof reason === "string" ? `“${reason}”` : "";
}
