import { Paper, Title } from "@mantine/core";
import type { ReactNode } from "react";

/** A section of a page, with its own heading. */
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
