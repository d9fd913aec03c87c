import { Button, Group, Select, Stack, Text, TextInput, Title } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";

import { type Pair, unwrap } from "../../api/client";
import { canOperate, useAuth } from "../../api/AuthContext";
import { NewPairDialog } from "./NewPairDialog";
import { ErrorAlert } from "../../components/ErrorAlert";
import { StateBadge } from "../../components/StateBadge";
import { Timestamp } from "../../components/Timestamp";
import type { PairsSearch } from "./search";
import { t } from "../../lib/strings";

const PAGE_SIZE = 200;
const ROW_HEIGHT = 44;
const SORTS = [
  ["newest", `${t.pairs.created} ↓`],
  ["oldest", `${t.pairs.created} ↑`],
  ["consumer", `${t.pairs.consumer} ↑`],
  ["consumer-descending", `${t.pairs.consumer} ↓`],
  ["producer", `${t.pairs.producer} ↑`],
  ["producer-descending", `${t.pairs.producer} ↓`],
] as const;
type Sort = (typeof SORTS)[number][0];

export function PairsPage() {
  const auth = useAuth();
  const search = useSearch({ from: "/pairs" });
  const navigate = useNavigate({ from: "/pairs" });
  const change = (changes: PairsSearch) =>
    void navigate({ search: (now) => ({ ...now, ...changes }), replace: true });
  const look = useDebouncedCallback((text: string) => change({ search: text || undefined }), 250);
  const [typed, setTyped] = useState(search.search ?? "");
  return (
    <Stack>
      <Group justify="space-between">
        <Title order={2}>{t.pages.pairs}</Title>
        {canOperate(auth) && <NewPairDialog />}
      </Group>
      <Group align="end">
        <TextInput
          label={t.pairs.search}
          type="search"
          maxLength={100}
          value={typed}
          onChange={(event) => {
            setTyped(event.currentTarget.value);
            look(event.currentTarget.value.trim());
          }}
        />
        <Select
          label={t.pairs.state}
          data={["active", "disconnected"]}
          placeholder={t.pairs.any}
          clearable
          value={search.state ?? null}
          onChange={(state) => change({ state: state ?? undefined })}
        />
        <Select
          label={t.pairs.sort}
          data={SORTS.map(([value, label]) => ({ value, label }))}
          allowDeselect={false}
          value={search.sort ?? "newest"}
          onChange={(sort) => change({ sort: sort ?? undefined })}
        />
      </Group>
      <PairList search={search} />
    </Stack>
  );
}

/** Rows as they are scrolled to; only those in sight are in the page. */
function PairList(props: { search: PairsSearch }) {
  const auth = useAuth();
  const { search, state, sort } = props.search;
  const query = useInfiniteQuery({
    queryKey: ["pairs", search, state, sort],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      unwrap(
        auth.api.GET("/v1/pairs", {
          params: {
            query: {
              limit: PAGE_SIZE,
              ...(pageParam ? { cursor: pageParam } : {}),
              ...(search ? { search } : {}),
              ...(state ? { state: state as Pair["state"] } : {}),
              ...(sort ? { sort: sort as Sort } : {}),
            },
          },
        }),
      ),
    getNextPageParam: (last) => last.next ?? undefined,
  });
  const pairs = query.data?.pages.flatMap((page) => page.items) ?? [];
  const scroll = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: pairs.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 12,
  });
  const shown = rows.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query;
  useEffect(() => {
    // The next page is there before one comes to it.
    if (hasNextPage && !isFetchingNextPage && last > pairs.length - PAGE_SIZE / 2) {
      void fetchNextPage();
    }
  }, [last, pairs.length, hasNextPage, isFetchingNextPage, fetchNextPage]);

  if (query.data === undefined) {
    return query.error ? (
      <ErrorAlert error={query.error} onRetry={() => void query.refetch()} />
    ) : (
      <Text aria-busy="true">{t.loading}</Text>
    );
  }
  if (pairs.length === 0) {
    return <Text c="dimmed">{search || state ? t.pairs.nothingFound : t.pairs.none}</Text>;
  }
  return (
    <>
      <ErrorAlert error={query.error} />
      <div
        ref={scroll}
        className="rows"
        role="table"
        aria-label={t.pages.pairs}
        aria-rowcount={hasNextPage ? -1 : pairs.length + 1}
        tabIndex={0}
      >
        <div role="row" className="row head" aria-rowindex={1}>
          <span role="columnheader">{t.pairs.consumer}</span>
          <span role="columnheader">{t.pairs.producer}</span>
          <span role="columnheader">{t.pairs.state}</span>
          <span role="columnheader">{t.pairs.suite}</span>
          <span role="columnheader">{t.pairs.reporting}</span>
          <span role="columnheader">{t.pairs.created}</span>
        </div>
        <div role="rowgroup" style={{ height: rows.getTotalSize(), position: "relative" }}>
          {shown.map((item) => {
            const pair = pairs[item.index];
            return (
              pair && (
                <div
                  key={pair.id}
                  role="row"
                  aria-rowindex={item.index + 2}
                  className="row"
                  style={{
                    position: "absolute",
                    top: 0,
                    left: 0,
                    right: 0,
                    height: ROW_HEIGHT,
                    transform: `translateY(${item.start}px)`,
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
              )
            );
          })}
        </div>
      </div>
      {hasNextPage && (
        <Button variant="default" loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>
          {t.more}
        </Button>
      )}
    </>
  );
}
