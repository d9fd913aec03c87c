import { Button, type ButtonProps, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";

import { t } from "../lib/strings";
import { ErrorAlert } from "./QueryState";

/**
 * A button that opens a form and does something with it. The form stays open, with
 * what went wrong, until it is done.
 */
export function ActionDialog(props: {
  label: string;
  title?: string;
  hint?: string;
  submitLabel?: string;
  danger?: boolean;
  /** What has to be typed first. */
  confirmText?: string | undefined;
  /** Fields; without any the button acts after a confirmation. */
  children?: ReactNode;
  onSubmit: () => Promise<ReactNode | void>;
  buttonProps?: ButtonProps;
}) {
  const [opened, { open, close }] = useDisclosure(false);
  const [typed, setTyped] = useState("");
  const queries = useQueryClient();
  const act = useMutation({
    mutationFn: props.onSubmit,
    onSuccess: (shown) => {
      void queries.invalidateQueries();
      if (!shown) {
        close();
      }
    },
  });
  const shown: ReactNode = act.data ?? null;
  return (
    <>
      <Button
        size="xs"
        variant={props.danger ? "outline" : "default"}
        {...(props.danger ? { color: "red" } : {})}
        {...props.buttonProps}
        onClick={() => {
          act.reset();
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
        {shown ? (
          <Stack>
            {shown}
            <Group justify="flex-end">
              <Button onClick={close}>{t.close}</Button>
            </Group>
          </Stack>
        ) : (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              act.mutate();
            }}
          >
            <Stack>
              {props.hint && <Text>{props.hint}</Text>}
              {props.children}
              {props.confirmText !== undefined && (
                <TextInput
                  label={t.pairs.confirm(props.confirmText)}
                  value={typed}
                  onChange={(event) => setTyped(event.currentTarget.value)}
                  autoComplete="off"
                />
              )}
              <ErrorAlert error={act.error} />
              <Group justify="flex-end">
                <Button variant="default" onClick={close}>
                  {t.cancel}
                </Button>
                <Button
                  type="submit"
                  loading={act.isPending}
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

/** An act that needs a reason. */
export function ReasonDialog(props: {
  label: string;
  title?: string;
  hint: string;
  danger?: boolean;
  confirmText?: string;
  onSubmit: (reason: string) => Promise<void>;
}) {
  const [reason, setReason] = useState("");
  return (
    <ActionDialog
      label={`${props.label}…`}
      title={props.title ?? props.label}
      submitLabel={props.label}
      hint={props.hint}
      danger={props.danger ?? false}
      confirmText={props.confirmText}
      onSubmit={() => props.onSubmit(reason)}
    >
      <TextInput
        label={t.reason}
        required
        maxLength={500}
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
        data-autofocus
      />
    </ActionDialog>
  );
}
