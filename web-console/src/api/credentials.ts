import { type Api, ApiError, type Whoami, createApi, unwrap } from "./client";

/** How this tab authenticates: by a person's session, or an API token it keeps. */
export type Credentials = { kind: "session"; csrf: string } | { kind: "token"; token: string };

export interface Auth {
  api: Api;
  credentials: Credentials;
  whoami: Whoami;
}

const TOKEN_KEY = "armour-token";
const TENANT_KEY = "armour-tenant";

/** Signs in with an API token, which this tab alone keeps. */
export async function signInWithToken(token: string): Promise<Auth> {
  const auth = await verifyCredentials({ kind: "token", token });
  sessionStorage.setItem(TOKEN_KEY, token);
  return auth;
}

/** Goes on with what there is: the tab's token, or the browser's session. */
export async function restoreAuth(): Promise<Auth> {
  const token = sessionStorage.getItem(TOKEN_KEY);
  return verifyCredentials(token ? { kind: "token", token } : { kind: "session", csrf: "" });
}

/** Forgets the tab's token. */
export function forgetToken() {
  sessionStorage.removeItem(TOKEN_KEY);
}

/** The tenant whose people sign in here: as the address says, or the last one. */
export function savedTenant(): string {
  const given = new URLSearchParams(window.location.search).get("tenant");
  if (given) {
    saveTenant(given);
  }
  return given ?? localStorage.getItem(TENANT_KEY) ?? "";
}

/** Remembers the tenant for the next time. */
export function saveTenant(tenant: string) {
  localStorage.setItem(TENANT_KEY, tenant);
}

async function verifyCredentials(credentials: Credentials): Promise<Auth> {
  const api = createApi(authHeaders(credentials));
  const whoami = await unwrap(api.GET("/v1/whoami")).catch(async (error: unknown) => {
    // The platform's token is no tenant's.
    if (credentials.kind === "token" && error instanceof ApiError && error.status !== 403) {
      await unwrap(api.GET("/v1/platform/system"));
      return PLATFORM_ADMIN;
    }
    throw error;
  });
  const known: Credentials =
    credentials.kind === "session"
      ? { kind: "session", csrf: whoami.csrf_token ?? "" }
      : credentials;
  return { api: createApi(authHeaders(known)), credentials: known, whoami };
}

/** The headers that calls with these credentials carry. */
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
