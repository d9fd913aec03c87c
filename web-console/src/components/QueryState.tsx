import { Alert, Button, Group, Skeleton, Stack, Text } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { t } from "../lib/strings";

/** What went wrong, for people. */
export function ErrorAlert(props: { error: unknown; onRetry?: () => void }) {
  if (!props.error) {
    return null;
  }
  const text = props.error instanceof Error ? props.error.message : String(props.error);
  return (
    <Alert color="red" role="alert" variant="light">
      <Group justify="space-between">
        <Text>{text}</Text>
        {props.onRetry && (
          <Button variant="default" size="xs" onClick={props.onRetry}>
            {t.tryAgain}
          </Button>
        )}
      </Group>
    </Alert>
  );
}

/**
 * In place of what threw: a part of the console that could not be fetched, above
 * all. Browsers remember that, so the page is loaded anew.
 */
export function LoadError(props: { error: unknown }) {
  console.warn(props.error);
  return <ErrorAlert error={t.notLoaded} onRetry={() => window.location.reload()} />;
}

/** The answer of a query, or that it loads, failed, or is empty. */
export function QueryState<T>(props: {
  query: UseQueryResult<T>;
  emptyText?: string;
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
      {error && <ErrorAlert error={error} onRetry={() => void refetch()} />}
      {isEmpty && props.emptyText ? (
        <Text c="dimmed">{props.emptyText}</Text>
      ) : (
        props.children(data)
      )}
    </>
  );
}
