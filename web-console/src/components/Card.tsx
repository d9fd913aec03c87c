import { Paper, Title } from "@mantine/core";
import type { ReactNode } from "react";

/** A part of a page, with a heading of its own. */
export function Card(props: { title: string; children: ReactNode }) {
  return (
    <Paper withBorder p="md">
      <Title order={3} size="h4" mb="sm">
        {props.title}
      </Title>
      {props.children}
    </Paper>
  );
}
