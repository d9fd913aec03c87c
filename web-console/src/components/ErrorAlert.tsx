import { Alert, Button, Group, Text } from "@mantine/core";

import { t } from "../lib/strings";

/** What went wrong, in words; nothing where there is no error. */
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
 * Stands in for a component that threw, most often because its code could not be fetched.
 * Browsers remember a failed import, so trying again means to reload the page.
 */
export function LoadError(props: { error: unknown }) {
  console.warn(props.error);
  return <ErrorAlert error={t.notLoaded} onRetry={() => window.location.reload()} />;
}
