import { Button, type ButtonProps, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";

import { t } from "../lib/strings";
import { Problem } from "./Said";

/**
 * A button that opens a form and does something with it. The form stays open, with
 * what went wrong, until it is done.
 */
export function Act(props: {
  label: string;
  title?: string;
  hint?: string;
  submit?: string;
  danger?: boolean;
  /** What has to be typed first. */
  confirm?: string | undefined;
  /** Fields; without any the button acts after a confirmation. */
  children?: ReactNode;
  act: () => Promise<ReactNode | void>;
  button?: ButtonProps;
}) {
  const [opened, { open, close }] = useDisclosure(false);
  const [typed, setTyped] = useState("");
  const queries = useQueryClient();
  const act = useMutation({
    mutationFn: props.act,
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
        {...props.button}
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
              {props.confirm !== undefined && (
                <TextInput
                  label={t.pairs.confirm(props.confirm)}
                  value={typed}
                  onChange={(event) => setTyped(event.currentTarget.value)}
                  autoComplete="off"
                />
              )}
              <Problem error={act.error} />
              <Group justify="flex-end">
                <Button variant="default" onClick={close}>
                  {t.cancel}
                </Button>
                <Button
                  type="submit"
                  loading={act.isPending}
                  disabled={props.confirm !== undefined && typed !== props.confirm}
                  {...(props.danger ? { color: "red" } : {})}
                >
                  {props.submit ?? props.label}
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
export function ActWithReason(props: {
  label: string;
  title?: string;
  hint: string;
  danger?: boolean;
  confirm?: string;
  act: (reason: string) => Promise<void>;
}) {
  const [reason, setReason] = useState("");
  return (
    <Act
      label={`${props.label}…`}
      title={props.title ?? props.label}
      submit={props.label}
      hint={props.hint}
      danger={props.danger ?? false}
      confirm={props.confirm}
      act={() => props.act(reason)}
    >
      <TextInput
        label={t.reason}
        required
        maxLength={500}
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
        data-autofocus
      />
    </Act>
  );
}
