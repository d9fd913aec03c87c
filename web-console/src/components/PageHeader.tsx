import { Group, Title } from "@mantine/core";
import type { ReactNode } from "react";

/** A page's heading, and what can be done on the page. */
export function PageHeader(props: { title: string; children?: ReactNode }) {
  return (
    <Group justify="space-between">
      <Title order={2}>{props.title}</Title>
      {props.children && <Group>{props.children}</Group>}
    </Group>
  );
}
