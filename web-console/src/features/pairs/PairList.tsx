import { useVirtualizer } from "@tanstack/react-virtual";
import { Link } from "@tanstack/react-router";
import { useEffect, useRef } from "react";

import { useAuth } from "../../api/AuthContext";
import type { Pair, PairSort, PairState } from "../../api/client";
import { useCursorQuery } from "../../api/useCursorQuery";
import { LoadMoreButton } from "../../components/LoadMoreButton";
import { QueryState } from "../../components/QueryState";
import { StateBadge } from "../../components/StateBadge";
import { Timestamp } from "../../components/Timestamp";
import { t } from "../../lib/strings";
import type { PairsSearch } from "./search";

const PAGE_SIZE = 200;
/** The height of a row, in pixels. */
const ROW_HEIGHT = 44;

/** The pairs that match a search, fetched page by page while scrolling. */
export function PairList(props: { search: PairsSearch }) {
  const { search, state } = props.search;
  const query = usePairs(props.search);
  return (
    <>
      <QueryState query={query} emptyText={search || state ? t.pairs.noMatch : t.pairs.none}>
        {(pairs) => <VirtualTable pairs={pairs} query={query} />}
      </QueryState>
      <LoadMoreButton query={query} />
    </>
  );
}

function usePairs({ search, state, sort }: PairsSearch) {
  const { api } = useAuth();
  return useCursorQuery({
    queryKey: ["pairs", search, state, sort],
    fetchPage: (cursor) =>
      api.GET("/v1/pairs", {
        params: {
          query: {
            limit: PAGE_SIZE,
            ...(cursor ? { cursor } : {}),
            ...(search ? { search } : {}),
            // The control plane refuses an unknown state or order.
            ...(state ? { state: state as PairState } : {}),
            ...(sort ? { sort: sort as PairSort } : {}),
          },
        },
      }),
  });
}

/** A table of which only the visible rows are in the document. */
function VirtualTable(props: { pairs: Pair[]; query: ReturnType<typeof usePairs> }) {
  const { pairs } = props;
  const scrollElement = useRef<HTMLDivElement>(null);
  const virtualizer = useVirtualizer({
    count: pairs.length,
    getScrollElement: () => scrollElement.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 12,
  });
  const items = virtualizer.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = props.query;
  useEffect(() => {
    // The next page is fetched before the last row is reached.
    if (hasNextPage && !isFetchingNextPage && last > pairs.length - PAGE_SIZE / 2) {
      void fetchNextPage();
    }
  }, [last, pairs.length, hasNextPage, isFetchingNextPage, fetchNextPage]);
  return (
    <div
      ref={scrollElement}
      className="rows"
      role="table"
      aria-label={t.pages.pairs}
      aria-rowcount={hasNextPage ? -1 : pairs.length + 1}
      tabIndex={0}
    >
      <div role="row" className="row head" aria-rowindex={1}>
        <span role="columnheader">{t.pairs.consumer}</span>
        <span role="columnheader">{t.pairs.producer}</span>
        <span role="columnheader">{t.state}</span>
        <span role="columnheader">{t.pairs.suite}</span>
        <span role="columnheader">{t.pairs.reporting}</span>
        <span role="columnheader">{t.pairs.created}</span>
      </div>
      <div role="rowgroup" style={{ height: virtualizer.getTotalSize(), position: "relative" }}>
        {items.map(({ index, start }) => {
          const pair = pairs[index];
          return pair && <PairRow key={pair.id} pair={pair} index={index} top={start} />;
        })}
      </div>
    </div>
  );
}

function PairRow(props: { pair: Pair; index: number; top: number }) {
  const { pair } = props;
  return (
    <div
      role="row"
      // Counted from 1, below the headings.
      aria-rowindex={props.index + 2}
      className="row"
      style={{
        position: "absolute",
        top: 0,
        left: 0,
        right: 0,
        height: ROW_HEIGHT,
        transform: `translateY(${props.top}px)`,
      }}
    >
      <span role="cell">
        <Link to="/pairs/$id" params={{ id: pair.id }}>
          {pair.consumer_name}
        </Link>
      </span>
      <span role="cell">{pair.producer_name}</span>
      <span role="cell">
        <StateBadge state={pair.state} />
      </span>
      <span role="cell">{pair.policy.suite}</span>
      <span role="cell">{pair.policy.reporting}</span>
      <span role="cell">
        <Timestamp at={pair.created_at} />
      </span>
    </div>
  );
}
