import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";

import { type Call, type Page, unwrap } from "./client";

/** A list that is read page by page; its data are the items of all pages read so far. */
export function useCursorQuery<T>(options: {
  queryKey: readonly unknown[];
  /** Reads the page at a cursor, or the first one. */
  fetchPage: (cursor: string | undefined) => Call<Page<T>>;
  /** How often it is fetched again, in milliseconds. */
  refetchInterval?: number | false;
  /** Whether the previous list stays visible while a changed query is loading. */
  keepPrevious?: boolean;
}) {
  return useInfiniteQuery({
    queryKey: options.queryKey,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => unwrap(options.fetchPage(pageParam)),
    getNextPageParam: (last) => last.next ?? undefined,
    select: (data) => data.pages.flatMap((page) => page.items),
    ...(options.refetchInterval === undefined ? {} : { refetchInterval: options.refetchInterval }),
    ...(options.keepPrevious ? { placeholderData: keepPreviousData } : {}),
  });
}
