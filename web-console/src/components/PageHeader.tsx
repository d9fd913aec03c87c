import { Group, Title } from "@mantine/core";
import type { ReactNode } from "react";

/** A page's heading, with buttons for its actions. */
export function PageHeader(props: { title: string; children?: ReactNode }) {
  return (
    <Group justify="space-between">
      <Title order={2}>{props.title}</Title>
      {props.children && <Group>{props.children}</Group>}
    </Group>
  );
}
