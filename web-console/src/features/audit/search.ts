import { textParam } from "../../lib/searchParams";

/** The search parameters of the audit log. */
export interface AuditSearch {
  actor?: string | undefined;
  action?: string | undefined;
  target?: string | undefined;
  /** The number of the entry that is open. */
  entry?: number | undefined;
}

export function parseAuditSearch(params: Record<string, unknown>): AuditSearch {
  return {
    actor: textParam(params.actor),
    action: textParam(params.action),
    target: textParam(params.target),
    entry: typeof params.entry === "number" ? params.entry : undefined,
  };
}
