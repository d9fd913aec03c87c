import { TextInput, type TextInputProps } from "@mantine/core";

import { t } from "../lib/strings";

/** A required field for a name that the control plane accepts. */
export function NameInput(props: TextInputProps) {
  return <TextInput label={t.name} required maxLength={100} {...props} />;
}
