import { useQuery } from "@tanstack/react-query";

import { useAuth } from "../../api/AuthContext";
import { unwrap, unwrapWithEtag } from "../../api/client";

/** Exchanges emit no events, so a bundle in use is polled. */
export const REFETCH_INTERVAL_MS = 3_000;

/** A bundle with its pair, lanes, collision and disconnect acknowledgements. */
export function useBundle(id: string) {
  const { api } = useAuth();
  const path = { params: { path: { id } } };
  return useQuery({
    queryKey: ["bundle", id],
    refetchInterval: ({ state }) =>
      state.data?.bundle.state === "disconnected" ? false : REFETCH_INTERVAL_MS,
    queryFn: async () => {
      const bundle = await unwrap(api.GET("/v1/bundles/{id}", path));
      const [pair, lanes, collisions, acknowledgements] = await Promise.all([
        unwrapWithEtag(api.GET("/v1/pairs/{id}", { params: { path: { id: bundle.pair_id } } })),
        unwrap(api.GET("/v1/bundles/{id}/lanes", path)),
        unwrap(api.GET("/v1/collisions")),
        unwrap(api.GET("/v1/bundles/{id}/obediences", path)),
      ]);
      const collision = collisions.items.find((one) => one.bundle_id === id);
      return {
        bundle,
        pair: pair.data,
        etag: pair.etag,
        // A lane whose last streams re-keyed has a second head, which its chart shows.
        lanes: lanes.filter((head) => !head.k),
        subHeads: lanes.filter((head) => head.k),
        collision,
        acknowledgements,
      };
    },
  });
}
