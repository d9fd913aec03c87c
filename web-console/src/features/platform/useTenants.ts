import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";

import { unwrap } from "../../api/client";
import { useAuth } from "../../api/AuthContext";

/** Tenants whose name or id has the text in it, a page at a time. */
export function useTenants(search: string) {
  const { api } = useAuth();
  return useInfiniteQuery({
    queryKey: ["tenants", search],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam: cursor }) =>
      unwrap(
        api.GET("/v1/tenants", {
          params: { query: { ...(cursor ? { cursor } : {}), ...(search ? { search } : {}) } },
        }),
      ),
    getNextPageParam: (last) => last.next ?? undefined,
    placeholderData: keepPreviousData,
    select: (data) => data.pages.flatMap((page) => page.items),
  });
}
