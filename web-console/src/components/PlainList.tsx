import { Stack, Text } from "@mantine/core";
import type { ReactNode } from "react";

/** A list of short lines, without bullets. */
export function PlainList(props: { children: ReactNode }) {
  return (
    <Stack gap={4} component="ul" m={0} p={0} style={{ listStyle: "none" }}>
      {props.children}
    </Stack>
  );
}

export function PlainListItem(props: { children: ReactNode }) {
  return (
    <Text component="li" size="sm">
      {props.children}
    </Text>
  );
}
