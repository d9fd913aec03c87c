import { Skeleton, Stack, Text } from "@mantine/core";
import type { ReactNode } from "react";

import { t } from "../lib/strings";
import { ErrorAlert } from "./ErrorAlert";

/** The part of a query's result that this component needs. */
interface Query<T> {
  data: T | undefined;
  error: unknown;
  refetch: () => unknown;
}

/** Shows a query's data, or that it is loading, has failed, or is empty. */
export function QueryState<T>(props: {
  query: Query<T>;
  emptyText?: ReactNode;
  children: (data: T) => ReactNode;
}) {
  const { data, error, refetch } = props.query;
  if (data === undefined) {
    return error ? (
      <ErrorAlert error={error} onRetry={() => void refetch()} />
    ) : (
      <Stack aria-busy="true" aria-label={t.loading}>
        <Skeleton height={24} />
        <Skeleton height={24} width="80%" />
      </Stack>
    );
  }
  const isEmpty = Array.isArray(data) && data.length === 0;
  return (
    <>
      <ErrorAlert error={error} onRetry={() => void refetch()} />
      {isEmpty && props.emptyText ? (
        <Text c="dimmed">{props.emptyText}</Text>
      ) : (
        props.children(data)
      )}
    </>
  );
}
