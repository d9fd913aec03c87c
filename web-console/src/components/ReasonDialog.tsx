import { TextInput } from "@mantine/core";
import { useInputState } from "@mantine/hooks";

import { t } from "../lib/strings";
import { ActionDialog } from "./ActionDialog";

/** An action that needs a reason, which is recorded in the audit log. */
export function ReasonDialog(props: {
  label: string;
  title?: string;
  hint: string;
  danger?: boolean;
  confirmText?: string;
  onSubmit: (reason: string) => Promise<void>;
}) {
  const [reason, setReason] = useInputState("");
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
        onChange={setReason}
        data-autofocus
      />
    </ActionDialog>
  );
}
