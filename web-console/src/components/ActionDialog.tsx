import { Button, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { useDisclosure, useInputState } from "@mantine/hooks";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { t } from "../lib/strings";
import { ErrorAlert } from "./ErrorAlert";

/**
 * A button that opens a form in a dialog. When the action fails, the form stays open and
 * shows the error.
 */
export function ActionDialog(props: {
  label: string;
  title?: string;
  hint?: string;
  submitLabel?: string;
  danger?: boolean;
  /** What has to be typed before the form can be submitted. */
  confirmText?: string | undefined;
  /** The fields; without any the dialog only asks for confirmation. */
  children?: ReactNode;
  /** Performs the action. What it returns is shown in place of the form. */
  onSubmit: () => Promise<ReactNode | void>;
  /** Whether it is the page's main action. */
  primary?: boolean;
}) {
  const [opened, { open, close }] = useDisclosure(false);
  const [typed, setTyped] = useInputState("");
  const queries = useQueryClient();
  const action = useMutation({
    mutationFn: props.onSubmit,
    onSuccess: (result) => {
      void queries.invalidateQueries();
      if (!result) {
        close();
      }
    },
  });
  const result: ReactNode = action.data ?? null;
  return (
    <>
      <Button
        size="xs"
        variant={props.primary ? "filled" : props.danger ? "outline" : "default"}
        {...(props.danger ? { color: "red" } : {})}
        onClick={() => {
          action.reset();
          setTyped("");
          open();
        }}
      >
        {props.label}
      </Button>
      <Modal
        opened={opened}
        onClose={close}
        title={props.title ?? props.label}
        closeButtonProps={{ "aria-label": t.close }}
      >
        {result ? (
          <Stack>
            {result}
            <Group justify="flex-end">
              <Button onClick={close}>{t.close}</Button>
            </Group>
          </Stack>
        ) : (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              action.mutate();
            }}
          >
            <Stack>
              {props.hint && <Text>{props.hint}</Text>}
              {props.children}
              {props.confirmText !== undefined && (
                <TextInput
                  label={t.typeToConfirm(props.confirmText)}
                  value={typed}
                  onChange={setTyped}
                  autoComplete="off"
                />
              )}
              <ErrorAlert error={action.error} />
              <Group justify="flex-end">
                <Button variant="default" onClick={close}>
                  {t.cancel}
                </Button>
                <Button
                  type="submit"
                  loading={action.isPending}
                  disabled={props.confirmText !== undefined && typed !== props.confirmText}
                  {...(props.danger ? { color: "red" } : {})}
                >
                  {props.submitLabel ?? props.label}
                </Button>
              </Group>
            </Stack>
          </form>
        )}
      </Modal>
    </>
  );
}
