import { Button, type ButtonProps } from "@mantine/core";

import { t } from "../lib/strings";

/** Fetches the next page of a list; nothing if there is none. */
export function LoadMoreButton(
  props: ButtonProps & {
    query: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown };
    label?: string;
  },
) {
  const { query, label, ...button } = props;
  if (!query.hasNextPage) {
    return null;
  }
  return (
    <Button
      variant="default"
      loading={query.isFetchingNextPage}
      onClick={() => void query.fetchNextPage()}
      {...button}
    >
      {label ?? t.more}
    </Button>
  );
}
