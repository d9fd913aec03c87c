import { Button, Group, Paper, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";

import { t } from "../lib/strings";
import { ErrorAlert } from "./ErrorAlert";

/** A card of fields that are saved together. */
export function FormCard(props: {
  title: string;
  hint?: string;
  error: unknown;
  isSaving: boolean;
  /** Shows the fields without a button to save them. */
  readOnly?: boolean;
  /** Buttons beside the one that saves. */
  actions?: ReactNode;
  onSave: () => void;
  /** The fields. */
  children: ReactNode;
}) {
  return (
    <Paper withBorder p="md">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          props.onSave();
        }}
      >
        <Stack>
          <Title order={3} size="h4">
            {props.title}
          </Title>
          {props.hint && <Text c="dimmed">{props.hint}</Text>}
          <SimpleGrid cols={{ base: 1, sm: 2, md: 4 }}>{props.children}</SimpleGrid>
          <ErrorAlert error={props.error} />
          {!props.readOnly && (
            <Group justify="flex-end">
              {props.actions}
              <Button type="submit" loading={props.isSaving}>
                {t.save}
              </Button>
            </Group>
          )}
        </Stack>
      </form>
    </Paper>
  );
}
