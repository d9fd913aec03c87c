import { Badge, Burger, Button, Group, Text, Title } from "@mantine/core";
import { useRouteContext } from "@tanstack/react-router";
import { Suspense, lazy } from "react";

import { useAuth } from "../api/AuthContext";
import { t } from "../lib/strings";
import { ColourSchemeToggle } from "./ColourSchemeToggle";
import { LiveStatus } from "./LiveStatus";

const TenantSelect = lazy(() =>
  import("../features/platform/TenantSelect").then((part) => ({ default: part.TenantSelect })),
);

/** The top of every page: who is signed in and whether the page is live. */
export function AppHeader(props: {
  /** The tenant that a platform administrator is viewing, if any. */
  tenant: string | undefined;
  isMenuOpen: boolean;
  onToggleMenu: () => void;
}) {
  const { whoami } = useAuth();
  const { signOut } = useRouteContext({ from: "__root__" });
  return (
    <Group h="100%" px="md" justify="space-between" wrap="nowrap">
      <Group wrap="nowrap">
        <Burger
          opened={props.isMenuOpen}
          onClick={props.onToggleMenu}
          hiddenFrom="sm"
          size="sm"
          aria-label={t.product}
        />
        <Title order={1} size="h3">
          {t.product}
        </Title>
      </Group>
      <Group wrap="nowrap" gap="sm">
        {whoami.role === "platform-admin" ? (
          <Suspense>
            <TenantSelect tenant={props.tenant} />
          </Suspense>
        ) : (
          <LiveStatus />
        )}
        <Text size="sm" visibleFrom="sm">
          {whoami.name}
        </Text>
        <Badge variant="default" tt="none" visibleFrom="xs" className="quiet">
          {whoami.role}
        </Badge>
        <ColourSchemeToggle />
        <Button size="xs" variant="default" onClick={signOut}>
          {t.signOut}
        </Button>
      </Group>
    </Group>
  );
}
