/** A typed client of Armour's REST API; the types are generated from its OpenAPI document. */
import createClient, { type Client, type Middleware } from "openapi-fetch";

import type { components, paths } from "./schema.js";

export type { components, paths };

/** Why a call was refused (RFC 9457). */
export type Problem = components["schemas"]["Problem"];

/** A control plane as its API's document has it: `client.GET("/v1/pairs")`. */
export type Armour = Client<paths>;

/** A refusal, thrown by {@link unwrap}. */
export class ArmourError extends Error {
  constructor(
    /** HTTP status. */
    readonly status: number,
    /** What the control plane says, if it says it as a problem document. */
    readonly problem: Problem | undefined,
  ) {
    super(problem ? `${problem.detail} (${problem.type})` : `unexpected answer: ${status}`);
    this.name = "ArmourError";
  }

  /** Whether the problem is of this kind, `urn:armour:problem:<kind>`. */
  is(kind: string): boolean {
    return this.problem?.type === `urn:armour:problem:${kind}`;
  }
}

/** A client that calls with an API token; the function form is asked before each call. */
export function armour(baseUrl: string, token: string | (() => string | Promise<string>)): Armour {
  const client = createClient<paths>({ baseUrl });
  const authorize: Middleware = {
    async onRequest({ request }) {
      const given = typeof token === "string" ? token : await token();
      request.headers.set("authorization", `Bearer ${given}`);
      return request;
    },
  };
  client.use(authorize);
  return client;
}

/** The data of an answer; what was refused is thrown. */
export async function unwrap<T>(
  answer: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  const { data, error, response } = await answer;
  if (!response.ok) {
    const problem = error as Problem | undefined;
    throw new ArmourError(response.status, problem?.type ? problem : undefined);
  }
  return data as T;
}

/** Every item of a list, page by page. */
export async function* pages<T>(
  page: (cursor: string | undefined) => Promise<{ items: T[]; next?: string | null }>,
): AsyncGenerator<T> {
  let cursor: string | undefined;
  do {
    const { items, next } = await page(cursor);
    yield* items;
    cursor = next ?? undefined;
  } while (cursor !== undefined);
}
