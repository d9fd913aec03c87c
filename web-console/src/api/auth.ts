import { type Api, Refused, type Whoami, answer, connect } from "./client";

/** How this tab authenticates: by a person's session, or an API token it keeps. */
export type Credentials = { kind: "session"; csrf: string } | { kind: "token"; token: string };

export interface SignedIn {
  api: Api;
  credentials: Credentials;
  who: Whoami;
}

const TOKEN = "armour-token";
const TENANT = "armour-tenant";

/** The headers that calls with these credentials carry. */
export function headersOf(credentials: Credentials): Record<string, string> {
  return credentials.kind === "token"
    ? { authorization: `Bearer ${credentials.token}` }
    : { "x-csrf-token": credentials.csrf };
}

/** Signs in with an API token, which this tab alone keeps. */
export async function withToken(token: string): Promise<SignedIn> {
  const signedIn = await check({ kind: "token", token });
  sessionStorage.setItem(TOKEN, token);
  return signedIn;
}

/** Goes on with what there is: the tab's token, or the browser's session. */
export async function resume(): Promise<SignedIn> {
  const token = sessionStorage.getItem(TOKEN);
  return check(token ? { kind: "token", token } : { kind: "session", csrf: "" });
}

/** Forgets the tab's token. */
export function forget() {
  sessionStorage.removeItem(TOKEN);
}

/** The tenant whose people sign in here: as the address says, or the last one. */
export function knownTenant(): string {
  const given = new URLSearchParams(window.location.search).get("tenant");
  if (given) {
    rememberTenant(given);
  }
  return given ?? localStorage.getItem(TENANT) ?? "";
}

/** Remembers the tenant for the next time. */
export function rememberTenant(tenant: string) {
  localStorage.setItem(TENANT, tenant);
}

async function check(credentials: Credentials): Promise<SignedIn> {
  const api = connect(headersOf(credentials));
  const who = await answer(api.GET("/v1/whoami")).catch(async (error: unknown) => {
    // The platform's token is no tenant's.
    if (credentials.kind === "token" && error instanceof Refused && error.status !== 403) {
      await answer(api.GET("/v1/platform/system"));
      return PLATFORM;
    }
    throw error;
  });
  const known: Credentials =
    credentials.kind === "session" ? { kind: "session", csrf: who.csrf_token ?? "" } : credentials;
  return { api: connect(headersOf(known)), credentials: known, who };
}

const PLATFORM: Whoami = {
  tenant_id: "00000000-0000-0000-0000-000000000000",
  actor: "platform",
  name: "platform",
  role: "platform-admin",
};
