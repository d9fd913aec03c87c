import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";

import { type Call, type Page, unwrap } from "./client";

/** A list that is read a page at a time; its data is what has been read of it so far. */
export function useCursorQuery<T>(options: {
  queryKey: readonly unknown[];
  /** Reads the page at a cursor, or the first one. */
  fetchPage: (cursor: string | undefined) => Call<Page<T>>;
  /** How often it is read again, in milliseconds. */
  refetchInterval?: number | false;
  /** Whether the list before is shown until a changed query has its answer. */
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
