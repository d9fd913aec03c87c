import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
} from "@tanstack/react-router";

import { LoadError } from "../components/ErrorAlert";
import { parseAuditSearch } from "../features/audit/search";
import { parsePairsSearch } from "../features/pairs/search";
import { AppLayout } from "./AppLayout";

/** What `App` passes to the pages. */
export interface RouterContext {
  signOut: () => void;
}

const root = createRootRouteWithContext<RouterContext>()({ component: AppLayout });

const overview = createRoute({
  getParentRoute: () => root,
  path: "/",
  component: lazyRouteComponent(() => import("../features/overview/OverviewPage"), "OverviewPage"),
});

const pairs = createRoute({
  getParentRoute: () => root,
  path: "/pairs",
  validateSearch: parsePairsSearch,
  component: lazyRouteComponent(() => import("../features/pairs/PairsPage"), "PairsPage"),
});
const pair = createRoute({
  getParentRoute: () => root,
  path: "/pairs/$id",
  component: lazyRouteComponent(() => import("../features/pairs/PairPage"), "PairPage"),
});
const bundle = createRoute({
  getParentRoute: () => root,
  path: "/bundles/$id",
  component: lazyRouteComponent(() => import("../features/bundles/BundlePage"), "BundlePage"),
});
const endpoints = createRoute({
  getParentRoute: () => root,
  path: "/endpoints",
  component: lazyRouteComponent(
    () => import("../features/endpoints/EndpointsPage"),
    "EndpointsPage",
  ),
});
const collisions = createRoute({
  getParentRoute: () => root,
  path: "/collisions",
  component: lazyRouteComponent(
    () => import("../features/collisions/CollisionsPage"),
    "CollisionsPage",
  ),
});

const audit = createRoute({
  getParentRoute: () => root,
  path: "/audit",
  validateSearch: parseAuditSearch,
  component: lazyRouteComponent(() => import("../features/audit/AuditPage"), "AuditPage"),
});
const access = createRoute({
  getParentRoute: () => root,
  path: "/access",
  component: lazyRouteComponent(() => import("../features/access/AccessPage"), "AccessPage"),
});
/** A platform administrator sees it at every address except a tenant's: see `AppLayout`. */
const system = createRoute({ getParentRoute: () => root, path: "/system" });
const tenant = createRoute({
  getParentRoute: () => root,
  path: "/tenants/$id",
  component: lazyRouteComponent(() => import("../features/platform/TenantPage"), "TenantPage"),
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
  defaultErrorComponent: LoadError,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
