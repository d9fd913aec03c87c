import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContext, type Page, expect, test } from "@playwright/test";

import { CLIENT, ISSUER, Keycloak, PASSWORD, isInstalled } from "./keycloak";
import { CONSOLE, armour, armourJson, dataDir, takeScreenshots } from "./system";

let tenant: string;
let keycloak: Keycloak | undefined;

// Whoever reads the results must see what was not tried.
test.skip(!isInstalled, "Keycloak is not installed: run `make keycloak`");

test.beforeAll(async () => {
  for (const earlier of armourJson<{ id: string }[]>("issuers", "list")) {
    armour("issuers", "delete", earlier.id);
  }
  const secret = randomBytes(24).toString("hex");
  const file = join(dataDir, "keycloak-client-secret");
  writeFileSync(file, secret, { mode: 0o600 });
  keycloak = new Keycloak();
  tenant = armourJson<{ tenant_id: string }>("whoami").tenant_id;
  const issuer = armourJson<{ id: string }>(
    ...["issuers", "create", "Keycloak", "--kind", "people", "--url", ISSUER],
    ...["--audience", CLIENT, "--client-secret-file", file],
    ...["--groups-claim", "realm_access.roles"],
    ...["--role", "armour-admins=tenant-admin", "--role", "armour-auditors=auditor"],
    ...["--scope", "profile"],
  );
  const at = (path: string) => `${CONSOLE}/v1/auth/${path}/${tenant}/${issuer.id}`;
  await keycloak.begin(secret, at("callback"), CONSOLE, at("back-channel-logout"));
});

test.afterAll(() => {
  keycloak?.stop();
});

test("realm roles by a claim within a claim give a role; both ends sign out", async ({ page }) => {
  await keycloak?.mapRoles("id-token");
  await signIn(page, "ada", async () => takeScreenshots(page, "keycloak-password"));
  await expect(page.locator("header")).toContainText("tenant-admin");
  await takeScreenshots(page, "keycloak-signed-in");

  const left = page.waitForResponse((one) => one.url().includes("/protocol/openid-connect/logout"));
  await page.getByRole("button", { name: "Sign out" }).click();
  await left;
  await expect(page).toHaveURL(`${CONSOLE}/`);
  expect((await page.request.get("/v1/whoami")).status()).toBe(401);
  // Keycloak asks for the password again: its own session has ended too.
  await page.goto(`/?tenant=${tenant}`);
  await page.getByRole("link", { name: "Sign in with Keycloak" }).click();
  await expect(page.getByLabel("Password", { exact: true })).toBeVisible();
});

test("realm roles at userinfo alone give a role", async ({ page }) => {
  await keycloak?.mapRoles("userinfo");
  await signIn(page, "grace");
  await expect(page.locator("header")).toContainText("auditor");
});

test("with Keycloak's defaults nobody is let in, and the entry says which claims came", async ({
  page,
}) => {
  await keycloak?.mapRoles("default");
  await signIn(page, "ada");
  await expect(page.getByRole("alert")).toContainText("none of your groups has a role here");
  await takeScreenshots(page, "keycloak-refused");
  const entries = armour("audit", "list", "--action", "sign-in.deny", "-o", "json");
  expect(entries).toContain("no claim realm_access.roles, neither in the ID token nor at userinfo");
});

test("a new signing key is taken at once", async ({ browser }) => {
  await keycloak?.mapRoles("id-token");
  for (const rotated of [false, true]) {
    if (rotated) {
      await keycloak?.rotateKeys();
    }
    await inNewBrowser(browser, async (page) => {
      await signIn(page, "ada");
      await expect(page.locator("header")).toContainText("tenant-admin");
    });
  }
});

test("each public-key signature is taken, and none by a shared secret", async ({ browser }) => {
  await keycloak?.mapRoles("id-token");
  for (const algorithm of ["RS256", "RS512", "PS256", "ES256", "EdDSA"]) {
    await keycloak?.sign(algorithm);
    await inNewBrowser(browser, async (page) => {
      await signIn(page, "ada");
      await expect(page.locator("header"), algorithm).toContainText("tenant-admin");
    });
  }
  await keycloak?.sign("HS256");
  await inNewBrowser(browser, async (page) => {
    await signIn(page, "ada");
    // Whoever tries can do nothing about it; an administrator finds the reason.
    await expect(page.getByRole("alert")).toContainText("ask your administrator");
    const entries = armour("audit", "list", "--action", "sign-in.deny", "-o", "json");
    expect(entries).toContain("a shared secret (HS256)");
  });
  await keycloak?.sign("RS256");
});

test("two tabs that began to sign in both end: Keycloak's second page goes on by itself", async ({
  context,
}) => {
  await keycloak?.mapRoles("id-token");
  const [first, second] = await twoTabs(context);
  await giveName(first, "ada");
  await expect(first.locator("header")).toContainText("tenant-admin");
  // Its script looks whether somebody has signed in meanwhile.
  await expect(second.locator("header")).toContainText("tenant-admin");
  // Where it came from is not the end of it either.
  await second.goto(callbackOf(second));
  await expect(second.locator("header")).toContainText("tenant-admin");
});

test("two tabs that began to sign in both end: the second's form is sent too late", async ({
  context,
}) => {
  await keycloak?.mapRoles("id-token");
  // Without Keycloak's script its page stays as it is.
  await context.route(/authChecker/, (route) => route.abort());
  const [first, second] = await twoTabs(context);
  await giveName(first, "ada");
  await expect(first.locator("header")).toContainText("tenant-admin");
  await giveName(second, "ada");
  await expect(second.locator("header")).toContainText("tenant-admin");
});

test("a tab that is reloaded while it comes back is signed in", async ({ context }) => {
  await keycloak?.mapRoles("id-token");
  const [first, second] = await twoTabs(context);
  await giveName(first, "ada");
  await expect(first.locator("header")).toContainText("tenant-admin");
  // Keycloak's page may be on its way back by then.
  await second.reload().catch(() => undefined);
  await expect(second.locator("header")).toContainText("tenant-admin");
});

test("a logout by Keycloak's administrator ends the session here", async ({ page }) => {
  await keycloak?.mapRoles("id-token");
  await signIn(page, "grace");
  await expect(page.locator("header")).toContainText("auditor");
  await keycloak?.logOut("grace");
  await expect
    .poll(async () => (await page.request.get(`${CONSOLE}/v1/whoami`)).status())
    .toBe(401);
  const entries = armour("audit", "list", "--action", "session.end", "-o", "json");
  expect(entries).toContain('"by": "the issuer"');
});

/** Signs in through Keycloak's page; what is done before its button is pressed. */
async function signIn(page: Page, name: string, before?: () => Promise<void>) {
  await page.goto(`/?tenant=${tenant}`);
  await page.getByRole("link", { name: "Sign in with Keycloak" }).click();
  await giveName(page, name, before);
}

async function giveName(page: Page, name: string, before?: () => Promise<void>) {
  await page.getByLabel(/Username/).fill(name);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await before?.();
  await page.getByRole("button", { name: "Sign In" }).click();
}

const callbacks = new WeakMap<Page, string>();

/** Two tabs of a browser at Keycloak's page. */
async function twoTabs(context: BrowserContext): Promise<[Page, Page]> {
  const tabs: [Page, Page] = [await context.newPage(), await context.newPage()];
  for (const page of tabs) {
    page.on("request", (request) => {
      if (request.url().includes("/v1/auth/callback")) {
        callbacks.set(page, request.url());
      }
    });
    await page.goto(`/?tenant=${tenant}`);
    await page.getByRole("link", { name: "Sign in with Keycloak" }).click();
    await expect(page.getByLabel("Password", { exact: true })).toBeVisible();
  }
  return tabs;
}

/** Where Keycloak sent a tab back to. */
function callbackOf(page: Page): string {
  return callbacks.get(page) ?? "";
}

/** Runs in another browser, with its own cookies. */
async function inNewBrowser(browser: Browser, work: (page: Page) => Promise<void>) {
  const context = await browser.newContext({ baseURL: CONSOLE });
  await work(await context.newPage());
  await context.close();
}
