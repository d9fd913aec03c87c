import { textParam } from "../../lib/searchParams";

/** What the address of the list of pairs says. */
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
