import createClient from "openapi-fetch";

import type { components, paths } from "./schema";

export type Pair = components["schemas"]["Pair"];
export type Endpoint = components["schemas"]["Endpoint"];
export type Bundle = components["schemas"]["Bundle"];
export type Collision = components["schemas"]["Collision"];
export type ArmourEvent = components["schemas"]["Event"];
export type Problem = components["schemas"]["Problem"];
export type Whoami = components["schemas"]["Whoami"];
export type Session = components["schemas"]["Session"];
export type ApiToken = components["schemas"]["ApiToken"];
export type Issuer = components["schemas"]["Issuer"];
export type Webhook = components["schemas"]["Webhook"];
export type Delivery = components["schemas"]["Delivery"];
export type AuditEntry = components["schemas"]["AuditEntry"];
export type Policy = components["schemas"]["Policy"];
export type Party = components["schemas"]["Party"];
export type RecordedTicket = components["schemas"]["RecordedTicket"];
export type SignInChoice = components["schemas"]["SignInChoice"];

export type Api = ReturnType<typeof createApi>;

/** A client of the API that served this page. */
export function createApi(headers: Record<string, string>) {
  return createClient<paths>({ baseUrl: window.location.origin, headers });
}

/** What a refused call says. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem | undefined,
  ) {
    super(problem?.detail ?? `the control plane answered ${status}`);
  }
}

/** The answer of a call, or its refusal thrown. */
export async function unwrap<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok || data === undefined) {
    throw new ApiError(response.status, error as Problem | undefined);
  }
  return data;
}

/** An answer with its `ETag`, to be sent back as `If-Match`. */
export async function unwrapWithEtag<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<{ found: T; tag: string }> {
  const found = await unwrap(call);
  return { found, tag: (await call).response.headers.get("etag") ?? "*" };
}

/** An act whose answer has no body. */
export async function unwrapEmpty(
  call: Promise<{ error?: unknown; response: Response }>,
): Promise<void> {
  const { error, response } = await call;
  if (!response.ok) {
    throw new ApiError(response.status, error as Problem | undefined);
  }
}

export interface Page<T> {
  items: T[];
  next?: string | null;
}

/** Every page of a list. */
export async function fetchAllPages<T>(
  fetchPage: (cursor: string | undefined) => Promise<{
    data?: Page<T>;
    error?: unknown;
    response: Response;
  }>,
): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const found = await unwrap(fetchPage(cursor));
    items.push(...found.items);
    cursor = found.next ?? undefined;
  } while (cursor);
  return items;
}
