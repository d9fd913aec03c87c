import { useAuth } from "../../api/AuthContext";
import { useCursorQuery } from "../../api/useCursorQuery";

/** The tenants whose name or ID contains a text, page by page. */
export function useTenants(search: string) {
  const { api } = useAuth();
  return useCursorQuery({
    queryKey: ["tenants", search],
    keepPrevious: true,
    fetchPage: (cursor) =>
      api.GET("/v1/tenants", {
        params: { query: { ...(cursor ? { cursor } : {}), ...(search ? { search } : {}) } },
      }),
  });
}
