import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
} from "@tanstack/react-router";

import { Frame } from "./pages/Frame";
import { Failed } from "./parts/Said";

/** What the frame needs besides who is signed in. */
export interface RouterContext {
  signOut: () => void;
}

const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

const root = createRootRouteWithContext<RouterContext>()({ component: Frame });

const overview = createRoute({
  getParentRoute: () => root,
  path: "/",
  component: lazyRouteComponent(() => import("./pages/Overview"), "Overview"),
});

export interface PairsSearch {
  search?: string | undefined;
  state?: string | undefined;
  sort?: string | undefined;
}
const pairs = createRoute({
  getParentRoute: () => root,
  path: "/pairs",
  validateSearch: (given: Record<string, unknown>): PairsSearch => ({
    search: text(given.search),
    state: text(given.state),
    sort: text(given.sort),
  }),
  component: lazyRouteComponent(() => import("./pages/Pairs"), "Pairs"),
});
const pair = createRoute({
  getParentRoute: () => root,
  path: "/pairs/$id",
  component: lazyRouteComponent(() => import("./pages/PairPage"), "PairPage"),
});
const bundle = createRoute({
  getParentRoute: () => root,
  path: "/bundles/$id",
  component: lazyRouteComponent(() => import("./pages/BundlePage"), "BundlePage"),
});
const endpoints = createRoute({
  getParentRoute: () => root,
  path: "/endpoints",
  component: lazyRouteComponent(() => import("./pages/Endpoints"), "Endpoints"),
});
const collisions = createRoute({
  getParentRoute: () => root,
  path: "/collisions",
  component: lazyRouteComponent(() => import("./pages/Collisions"), "Collisions"),
});

export interface AuditSearch {
  actor?: string | undefined;
  action?: string | undefined;
  target?: string | undefined;
  entry?: number | undefined;
}
const audit = createRoute({
  getParentRoute: () => root,
  path: "/audit",
  validateSearch: (given: Record<string, unknown>): AuditSearch => ({
    actor: text(given.actor),
    action: text(given.action),
    target: text(given.target),
    entry: typeof given.entry === "number" ? given.entry : undefined,
  }),
  component: lazyRouteComponent(() => import("./pages/Audit"), "Audit"),
});
const access = createRoute({
  getParentRoute: () => root,
  path: "/access",
  component: lazyRouteComponent(() => import("./pages/Access"), "Access"),
});
/** What the platform's people see, whatever the address, but for a tenant's figures. */
const system = createRoute({ getParentRoute: () => root, path: "/system" });
const tenant = createRoute({
  getParentRoute: () => root,
  path: "/tenants/$id",
  component: lazyRouteComponent(() => import("./pages/TenantPage"), "TenantPage"),
});

export const router = createRouter({
  routeTree: root.addChildren([
    overview,
    pairs,
    pair,
    bundle,
    endpoints,
    collisions,
    audit,
    access,
    system,
    tenant,
  ]),
  context: { signOut: () => undefined },
  defaultErrorComponent: Failed,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
