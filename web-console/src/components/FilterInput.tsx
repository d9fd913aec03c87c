import { TextInput, type TextInputProps } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useState } from "react";

const DEBOUNCE_MS = 250;

/** A text field that reports its trimmed text once typing pauses. */
export function FilterInput(
  props: Omit<TextInputProps, "value" | "onChange"> & {
    initialValue: string;
    onChange: (text: string) => void;
  },
) {
  const { initialValue, onChange, ...input } = props;
  const [text, setText] = useState(initialValue);
  const report = useDebouncedCallback(onChange, DEBOUNCE_MS);
  return (
    <TextInput
      {...input}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value);
        report(event.currentTarget.value.trim());
      }}
    />
  );
}
