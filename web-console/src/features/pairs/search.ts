import { textParam } from "../../lib/searchParams";

/** The search parameters of the list of pairs. */
export interface PairsSearch {
  search?: string | undefined;
  state?: string | undefined;
  sort?: string | undefined;
}

export function parsePairsSearch(params: Record<string, unknown>): PairsSearch {
  return {
    search: textParam(params.search),
    state: textParam(params.state),
    sort: textParam(params.sort),
  };
}
