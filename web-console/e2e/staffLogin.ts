import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";

import { startProvider } from "./provider.mjs";
import { CONSOLE, armour, armourJson, dataDir } from "./system";

const PORT = 7390;
/** Where the OpenID provider listens. */
export const PROVIDER = `http://127.0.0.1:${PORT}`;

/** Starts an OpenID provider that the local tenant trusts as "Staff login". */
export async function startStaffLogin(): Promise<{ tenant: string; stop: () => Promise<void> }> {
  // After a failure this runs again, in a new worker.
  for (const earlier of armourJson<{ id: string }[]>("issuers", "list")) {
    armour("issuers", "delete", earlier.id);
  }
  const clientSecret = randomBytes(24).toString("hex");
  const file = join(dataDir, "client-secret");
  writeFileSync(file, clientSecret, { mode: 0o600 });
  const issuer = armourJson<{ id: string }>(
    ...["issuers", "create", "Staff login", "--kind", "people", "--url", PROVIDER],
    ...["--audience", "armour", "--client-secret-file", file],
    ...["--role", "armour-admins=tenant-admin", "--role", "armour-auditors=auditor"],
    ...["--scope", "profile", "--scope", "groups"],
  );
  const tenant = armourJson<{ tenant_id: string }>("whoami").tenant_id;
  const { stop } = await startProvider({
    port: PORT,
    clientId: "armour",
    clientSecret,
    console: CONSOLE,
    callback: `${CONSOLE}/v1/auth/callback/${tenant}/${issuer.id}`,
    backChannel: `${CONSOLE}/v1/auth/back-channel-logout/${tenant}/${issuer.id}`,
  });
  return { tenant, stop };
}

/** Signs in through the provider's own pages. */
export async function signInAsStaff(page: Page, tenant: string, login: string) {
  await page.goto(`/?tenant=${tenant}`);
  await page.getByRole("link", { name: "Sign in with Staff login" }).click();
  await page.getByPlaceholder("Enter any login").fill(login);
  await page.getByPlaceholder("and password").fill("any");
  await page.getByRole("button", { name: "Sign-in" }).click();
  await page.getByRole("button", { name: "Continue" }).click();
}
