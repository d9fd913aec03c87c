import { Alert, Button, Code, CopyButton, Group, Stack, Text } from "@mantine/core";

import { t } from "../lib/strings";

/** A secret, or a command that holds one, shown once. */
export function OneTimeSecret(props: { label: string; text: string }) {
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Text fw={600}>{props.label}</Text>
        <CopyButton value={props.text}>
          {({ copied, copy }) => (
            <Button size="compact-xs" variant="default" onClick={copy}>
              {copied ? t.copied : t.copy}
            </Button>
          )}
        </CopyButton>
      </Group>
      <Code block data-testid="secret">
        {props.text}
      </Code>
      <Alert variant="light" color="yellow">
        {t.shownOnce}
      </Alert>
    </Stack>
  );
}
