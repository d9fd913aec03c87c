import { Button, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";

import { t } from "../lib/strings";

export function ColourSchemeToggle() {
  const { setColorScheme } = useMantineColorScheme();
  const current = useComputedColorScheme("light");
  return (
    <Button
      size="xs"
      variant="default"
      aria-label={t.colourScheme}
      onClick={() => setColorScheme(current === "light" ? "dark" : "light")}
    >
      {current === "light" ? "☾" : "☀"}
    </Button>
  );
}
