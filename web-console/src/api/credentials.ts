import { type Api, ApiError, type Whoami, createApi, unwrap } from "./client";

/** How this tab authenticates: by a sign-in session's cookie, or an API token. */
export type Credentials = { kind: "session"; csrf: string } | { kind: "token"; token: string };

export interface Auth {
  api: Api;
  credentials: Credentials;
  whoami: Whoami;
}

const TOKEN_KEY = "armour-token";
const TENANT_KEY = "armour-tenant";

/** Signs in with an API token, and stores it for this tab only. */
export async function signInWithToken(token: string): Promise<Auth> {
  const auth = await verifyCredentials({ kind: "token", token });
  sessionStorage.setItem(TOKEN_KEY, token);
  return auth;
}

/** Restores the sign-in from the tab's token or, without one, the browser's session. */
export async function restoreAuth(): Promise<Auth> {
  const token = sessionStorage.getItem(TOKEN_KEY);
  return verifyCredentials(token ? { kind: "token", token } : { kind: "session", csrf: "" });
}

/** Deletes the tab's token. */
export function forgetToken() {
  sessionStorage.removeItem(TOKEN_KEY);
}

/** The tenant to sign in to: the one in the address, or the last one used here. */
export function savedTenant(): string {
  const requested = new URLSearchParams(window.location.search).get("tenant");
  if (requested) {
    saveTenant(requested);
  }
  return requested ?? localStorage.getItem(TENANT_KEY) ?? "";
}

/** Stores the tenant for the next sign-in. */
export function saveTenant(tenant: string) {
  localStorage.setItem(TENANT_KEY, tenant);
}

async function verifyCredentials(credentials: Credentials): Promise<Auth> {
  const api = createApi(authHeaders(credentials));
  const whoami = await unwrap(api.GET("/v1/whoami")).catch(async (error: unknown) => {
    // A platform administrator's token belongs to no tenant.
    if (credentials.kind === "token" && error instanceof ApiError && error.status !== 403) {
      await unwrap(api.GET("/v1/platform/system"));
      return PLATFORM_ADMIN;
    }
    throw error;
  });
  const verified: Credentials =
    credentials.kind === "session"
      ? { kind: "session", csrf: whoami.csrf_token ?? "" }
      : credentials;
  return { api: createApi(authHeaders(verified)), credentials: verified, whoami };
}

/** The headers that authenticate a call. */
function authHeaders(credentials: Credentials): Record<string, string> {
  return credentials.kind === "token"
    ? { authorization: `Bearer ${credentials.token}` }
    : { "x-csrf-token": credentials.csrf };
}

const PLATFORM_ADMIN: Whoami = {
  tenant_id: "00000000-0000-0000-0000-000000000000",
  actor: "platform",
  name: "platform",
  role: "platform-admin",
};
