import { AppShell, NavLink } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Link, Outlet, useParams, useRouterState } from "@tanstack/react-router";
import { Suspense, lazy } from "react";

import { useAuth } from "../api/AuthContext";
import { t } from "../lib/strings";
import { LiveProvider } from "../live/LiveProvider";
import { AppHeader } from "./AppHeader";

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
const PLATFORM_PAGES = [["/system", t.pages.system]] as const;

/** The frame of every page: header, navigation and the page itself. */
export function AppLayout() {
  const { whoami } = useAuth();
  const [isMenuOpen, { toggle, close }] = useDisclosure(false);
  const { id: tenant } = useParams({ from: "/tenants/$id", shouldThrow: false }) ?? {};
  const isPlatform = whoami.role === "platform-admin";
  return (
    <LiveProvider>
      <AppShell
        header={{ height: 56 }}
        navbar={{ width: 200, breakpoint: "sm", collapsed: { mobile: !isMenuOpen } }}
        padding="md"
      >
        <a className="skip" href="#page">
          {t.skip}
        </a>
        <AppShell.Header>
          <AppHeader tenant={tenant} isMenuOpen={isMenuOpen} onToggleMenu={toggle} />
        </AppShell.Header>
        <AppShell.Navbar p="xs" component="nav" aria-label={t.product}>
          <Navigation isPlatform={isPlatform} tenant={tenant} onNavigate={close} />
        </AppShell.Navbar>
        <AppShell.Main id="page" tabIndex={-1}>
          {isPlatform && tenant === undefined ? (
            // Every other page is a tenant's, which a platform administrator has none of.
            <Suspense fallback={t.loading}>
              <SystemPage />
            </Suspense>
          ) : (
            <Outlet />
          )}
        </AppShell.Main>
      </AppShell>
    </LiveProvider>
  );
}

function Navigation(props: {
  isPlatform: boolean;
  tenant: string | undefined;
  onNavigate: () => void;
}) {
  const path = useRouterState({ select: (state) => state.location.pathname });
  const isActive = (page: string): boolean => {
    if (props.isPlatform) {
      return props.tenant === undefined;
    }
    return page === "/" ? path === "/" : path.startsWith(page);
  };
  return (
    <>
      {(props.isPlatform ? PLATFORM_PAGES : PAGES).map(([page, label]) => (
        <NavLink
          key={page}
          component={Link}
          to={page}
          label={label}
          active={isActive(page)}
          {...(isActive(page) ? { "aria-current": "page" as const } : {})}
          onClick={props.onNavigate}
        />
      ))}
      <NavLink href="/reference/" label={t.reference} />
    </>
  );
}
