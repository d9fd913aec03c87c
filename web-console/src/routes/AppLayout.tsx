import {
  AppShell,
  Badge,
  Burger,
  Button,
  Group,
  NavLink,
  Text,
  Title,
  useComputedColorScheme,
  useMantineColorScheme,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Link, Outlet, useParams, useRouteContext, useRouterState } from "@tanstack/react-router";

import { Suspense, lazy } from "react";

import { LiveProvider, useLive } from "../live/LiveProvider";
import { useAuth } from "../api/AuthContext";
import { Timestamp } from "../components/Timestamp";
import { t } from "../lib/strings";

const TenantSelect = lazy(() =>
  import("../features/platform/TenantSelect").then((part) => ({ default: part.TenantSelect })),
);
const SystemPage = lazy(() =>
  import("../features/platform/SystemPage").then((page) => ({ default: page.SystemPage })),
);

const PAGES = [
  ["/", t.pages.overview],
  ["/pairs", t.pages.pairs],
  ["/endpoints", t.pages.endpoints],
  ["/collisions", t.pages.collisions],
  ["/audit", t.pages.audit],
  ["/access", t.pages.access],
] as const;

/** Around every page: where one is, who one is, and whether what is shown is live. */
export function AppLayout() {
  return (
    <LiveProvider>
      <Shell />
    </LiveProvider>
  );
}

function Shell() {
  const auth = useAuth();
  const { signOut } = useRouteContext({ from: "__root__" });
  const [opened, { toggle, close }] = useDisclosure(false);
  const here = useRouterState({ select: (state) => state.location.pathname });
  const platform = auth.whoami.role === "platform-admin";
  const { id: tenant } = useParams({ from: "/tenants/$id", shouldThrow: false }) ?? {};
  const pages = platform ? ([["/system", t.pages.system]] as const) : PAGES;
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 200, breakpoint: "sm", collapsed: { mobile: !opened } }}
      padding="md"
    >
      <a className="skip" href="#page">
        {t.skip}
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group wrap="nowrap">
            <Burger
              opened={opened}
              onClick={toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label={t.product}
            />
            <Title order={1} size="h3">
              {t.product}
            </Title>
          </Group>
          <Group wrap="nowrap" gap="sm">
            {platform ? (
              <Suspense>
                <TenantSelect tenant={tenant} />
              </Suspense>
            ) : (
              <LiveStatus />
            )}
            <Text size="sm" visibleFrom="sm">
              {auth.whoami.name}
            </Text>
            <Badge variant="default" tt="none" visibleFrom="xs" className="quiet">
              {auth.whoami.role}
            </Badge>
            <ColourSchemeToggle />
            <Button size="xs" variant="default" onClick={signOut}>
              {t.signOut}
            </Button>
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" component="nav" aria-label={t.product}>
        {pages.map(([to, label]) => {
          const active = platform
            ? tenant === undefined
            : to === "/"
              ? here === "/"
              : here.startsWith(to);
          return (
            <NavLink
              key={to}
              component={Link}
              to={to}
              label={label}
              active={active}
              {...(active ? { "aria-current": "page" as const } : {})}
              onClick={close}
            />
          );
        })}
        <NavLink href="/reference/" label={t.reference} />
      </AppShell.Navbar>
      <AppShell.Main id="page" tabIndex={-1}>
        {platform && tenant === undefined ? (
          // The other pages are of a tenant, and nobody's here.
          <Suspense fallback={t.loading}>
            <SystemPage />
          </Suspense>
        ) : (
          <Outlet />
        )}
      </AppShell.Main>
    </AppShell>
  );
}

/** Whether what is shown is live, or since when not. */
function LiveStatus() {
  const { staleSince } = useLive();
  return (
    <Text size="sm" role="status" className={staleSince ? "bad" : "good"} fw={600}>
      {staleSince ? (
        <>
          {t.staleSince} <Timestamp at={staleSince.toISOString()} />
        </>
      ) : (
        t.live
      )}
    </Text>
  );
}

function ColourSchemeToggle() {
  const { setColorScheme } = useMantineColorScheme();
  const now = useComputedColorScheme("light");
  return (
    <Button
      size="xs"
      variant="default"
      aria-label={t.colourScheme}
      onClick={() => setColorScheme(now === "light" ? "dark" : "light")}
    >
      {now === "light" ? "☾" : "☀"}
    </Button>
  );
}
