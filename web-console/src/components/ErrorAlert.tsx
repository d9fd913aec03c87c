import { Alert, Button, Group, Text } from "@mantine/core";

import { t } from "../lib/strings";

/** An error's message; nothing if there is no error. */
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
 * Replaces a component that threw, usually because its code could not be fetched.
 * Browsers cache a failed import, so trying again reloads the page.
 */
export function LoadError(props: { error: unknown }) {
  console.warn(props.error);
  return <ErrorAlert error={t.notLoaded} onRetry={() => window.location.reload()} />;
}
