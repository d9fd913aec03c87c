import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
} from "@tanstack/react-router";

import { parseAuditSearch } from "./features/audit/search";
import { parsePairsSearch } from "./features/pairs/search";
import { Frame } from "./pages/Frame";
import { Failed } from "./parts/Said";

/** What the frame needs besides who is signed in. */
export interface RouterContext {
  signOut: () => void;
}

const root = createRootRouteWithContext<RouterContext>()({ component: Frame });

const overview = createRoute({
  getParentRoute: () => root,
  path: "/",
  component: lazyRouteComponent(() => import("./pages/Overview"), "Overview"),
});

const pairs = createRoute({
  getParentRoute: () => root,
  path: "/pairs",
  validateSearch: parsePairsSearch,
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

const audit = createRoute({
  getParentRoute: () => root,
  path: "/audit",
  validateSearch: parseAuditSearch,
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
