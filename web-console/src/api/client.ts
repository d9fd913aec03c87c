import createClient from "openapi-fetch";

import { t } from "../lib/strings";
import type { components, paths } from "./schema";

export type AccessRole = components["schemas"]["AccessRole"];
export type ApiToken = components["schemas"]["ApiToken"];
export type ArmourEvent = components["schemas"]["Event"];
export type AuditEntry = components["schemas"]["AuditEntry"];
export type Bundle = components["schemas"]["Bundle"];
export type ClientAuthentication = components["schemas"]["ClientAuthentication"];
export type Collision = components["schemas"]["Collision"];
export type DisconnectAcknowledgement = components["schemas"]["Obedience"];
export type Endpoint = components["schemas"]["Endpoint"];
export type Evidence = components["schemas"]["Evidence"];
export type Issuer = components["schemas"]["Issuer"];
export type KeyVersion = components["schemas"]["KeyVersion"];
export type LogHead = components["schemas"]["LogHead"];
export type LogKeyRotation = components["schemas"]["LogKeyRotation"];
export type Overview = components["schemas"]["Overview"];
export type Pair = components["schemas"]["Pair"];
export type PairSort = components["schemas"]["PairSort"];
export type PairState = components["schemas"]["PairState"];
export type Party = components["schemas"]["Party"];
export type Policy = components["schemas"]["Policy"];
export type Problem = components["schemas"]["Problem"];
export type Quotas = components["schemas"]["Quotas"];
export type RecordedTicket = components["schemas"]["RecordedTicket"];
export type LaneHead = components["schemas"]["LaneHead"];
export type Role = components["schemas"]["Role"];
export type Session = components["schemas"]["Session"];
export type SignInChoice = components["schemas"]["SignInChoice"];
export type SignedHead = components["schemas"]["SignedHead"];
export type System = components["schemas"]["System"];
export type Tenant = components["schemas"]["Tenant"];
export type Webhook = components["schemas"]["Webhook"];
export type Whoami = components["schemas"]["Whoami"];

export type Api = ReturnType<typeof createApi>;

/** A client of the control plane that served this page. */
export function createApi(headers: Record<string, string>) {
  return createClient<paths>({ baseUrl: window.location.origin, headers });
}

/** A call's outcome, as `openapi-fetch` gives it. */
export type Call<T> = Promise<{ data?: T; error?: unknown; response: Response }>;

/** A page of a list. */
export interface Page<T> {
  items: T[];
  /** The cursor of the next page; none on the last page. */
  next?: string | null;
}

/** Why a call was refused. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem | undefined,
  ) {
    super(problem?.detail ?? t.requestFailed(status));
  }
}

/** The data that a call returns. Throws `ApiError` if it was refused. */
export async function unwrap<T>(call: Call<T>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok || data === undefined) {
    throw new ApiError(response.status, error as Problem | undefined);
  }
  return data;
}

/** The data that a call returns, with its `ETag`, to be sent back as `If-Match`. */
export async function unwrapWithEtag<T>(call: Call<T>): Promise<{ data: T; etag: string }> {
  const data = await unwrap(call);
  return { data, etag: (await call).response.headers.get("etag") ?? "*" };
}

/** The body as a stream, with its headers, of a call made with `parseAs: "stream"`. */
export async function unwrapStream(
  call: Call<ReadableStream<Uint8Array<ArrayBuffer>> | null>,
): Promise<{ stream: ReadableStream<Uint8Array<ArrayBuffer>>; headers: Headers }> {
  const stream = await unwrap(call);
  if (stream === null) {
    throw new Error("the response has no body");
  }
  return { stream, headers: (await call).response.headers };
}

/** Waits for a call whose response has no body. */
export async function unwrapEmpty(call: Call<unknown>): Promise<void> {
  const { error, response } = await call;
  if (!response.ok) {
    throw new ApiError(response.status, error as Problem | undefined);
  }
}

/** Every item of a list, read page by page. */
export async function fetchAllPages<T>(
  fetchPage: (query: { cursor?: string }) => Call<Page<T>>,
): Promise<T[]> {
  const items: T[] = [];
  let query: { cursor?: string } | undefined = {};
  while (query) {
    const page: Page<T> = await unwrap(fetchPage(query));
    items.push(...page.items);
    query = page.next ? { cursor: page.next } : undefined;
  }
  return items;
}
