import { type Browser, type Page, expect, test } from "@playwright/test";

import { PROVIDER, signInAsStaff, startStaffLogin } from "./staffLogin";
import { CONSOLE, armour, takeScreenshots } from "./system";

let tenant: string;
let stopProvider: (() => Promise<void>) | undefined;

test.beforeAll(async () => {
  ({ tenant, stop: stopProvider } = await startStaffLogin());
});

test.afterAll(async () => {
  await stopProvider?.();
});

test("a person signs in, acts in their own name, and signs out here and there", async ({
  page,
}) => {
  await signIn(page, "first-admin");
  await expect(page.getByText("first-admin")).toBeVisible();
  await expect(page.locator("header")).toContainText("tenant-admin");
  await expect(page.getByRole("status")).toHaveText("Live");
  await page.getByRole("link", { name: "Pairs" }).click();
  await expect(page.getByRole("row").filter({ hasText: "laptop" })).toBeVisible();

  // The cookie is hidden from scripts and limited to this host.
  const cookies = await page.context().cookies();
  const cookie = cookies.find((one) => one.name === "__Host-armour-session");
  expect(cookie).toMatchObject({ httpOnly: true, secure: true, sameSite: "Lax", path: "/" });
  expect(await page.evaluate(() => document.cookie)).not.toContain("armour");

  // A call that changes something also needs the page's CSRF token.
  const post = (csrf: string) =>
    page.evaluate(async (token) => {
      const headers: Record<string, string> = { "content-type": "application/json" };
      if (token) {
        headers["x-csrf-token"] = token;
      }
      const body = JSON.stringify({ name: `of a person ${Math.random()}` });
      return (await fetch("/v1/consumers", { method: "POST", headers, body })).status;
    }, csrf);
  expect(await post("")).toBe(403);
  const who = (await (await page.request.get("/v1/whoami")).json()) as { csrf_token: string };
  expect(await post(who.csrf_token)).toBe(201);
  expect(armour("audit", "list", "--action", "consumer.create")).toMatch(
    /person:[0-9a-f-]+:first-admin/,
  );

  await page.getByRole("link", { name: "Access" }).click();
  await expect(page.getByRole("row").filter({ hasText: "this session" })).toContainText(
    "first-admin",
  );
  await takeScreenshots(page, "sessions");

  await page.getByRole("button", { name: "Sign out" }).click();
  // At the provider its own session ends too, if the person agrees.
  await page.getByRole("button", { name: "Yes, sign me out" }).click();
  await expect(page).toHaveURL(`${CONSOLE}/`);
  await expect(page.getByText("Sign in with Staff login")).toBeVisible();
  expect((await page.request.get("/v1/whoami")).status()).toBe(401);
  expect(armour("sessions", "list")).toContain("first-admin");
  expect(armour("audit", "list", "--action", "session.")).toContain("session.end");
});

test("a logout at the provider ends the session here", async ({ page }) => {
  await signIn(page, "second-auditor");
  await expect(page.locator("header")).toContainText("auditor");
  await page.goto(`${PROVIDER}/session/end`);
  await page.getByRole("button", { name: "Yes, sign me out" }).click();
  await expect
    .poll(async () => (await page.request.get(`${CONSOLE}/v1/whoami`)).status())
    .toBe(401);
  const entries = armour("audit", "list", "--action", "session.end", "-o", "json");
  expect(entries).toContain('"by": "the issuer"');
});

test("an auditor reads and changes nothing; who is in no group is not let in", async ({
  browser,
}) => {
  const page = await newBrowser(browser);
  await signIn(page, "second-auditor");
  await expect(page.locator("header")).toContainText("auditor");
  const who = (await (await page.request.get("/v1/whoami")).json()) as { csrf_token: string };
  const refused = await page.request.post("/v1/consumers", {
    headers: { "x-csrf-token": who.csrf_token },
    data: { name: "x" },
  });
  expect(refused.status()).toBe(403);
  expect(await refused.text()).toContain("the role auditor may not");
  // Only their own sessions are visible.
  const sessions = (await (await page.request.get("/v1/sessions")).json()) as {
    items: { name: string }[];
  };
  expect(new Set(sessions.items.map((one) => one.name))).toEqual(new Set(["second-auditor"]));

  const stranger = await newBrowser(browser);
  await signIn(stranger, "outsider");
  await expect(stranger.getByRole("alert")).toContainText("none of your groups has a role here");
  expect((await stranger.request.get("/v1/whoami")).status()).toBe(401);
  expect(armour("audit", "list", "--action", "sign-in.deny")).toContain("sign-in.deny");
  await page.context().close();
  await stranger.context().close();
});

test("an administrator ends another's session, and its page says so", async ({ browser }) => {
  const theirs = await newBrowser(browser);
  await signIn(theirs, "second-auditor");
  await expect(theirs.getByRole("status")).toHaveText("Live");
  const mine = await newBrowser(browser);
  await signIn(mine, "first-admin");
  await mine.getByRole("link", { name: "Access" }).click();
  const rows = mine
    .getByRole("row")
    .filter({ hasText: "second-auditor" })
    .filter({ hasText: "active" });
  // There may be sessions of other tests too.
  await expect(rows.first()).toBeVisible();
  for (let left = await rows.count(); left > 0; left--) {
    await rows.first().getByRole("button", { name: "End" }).click();
    await mine.getByRole("dialog").getByRole("button", { name: "End" }).click();
    await expect(mine.getByRole("dialog")).toHaveCount(0);
    await expect(rows).toHaveCount(left - 1);
  }
  await expect(theirs.getByText("You are no longer signed in.")).toBeVisible();
  await theirs.context().close();
  await mine.context().close();
});

test("a sign-in that another browser began, or was tampered with, is refused", async ({
  page,
  browser,
}) => {
  // An attacker's own callback, planted in a victim's browser (login CSRF).
  const attacker = await newBrowser(browser);
  let planted = "";
  attacker.on("request", (request) => {
    if (request.url().includes("/v1/auth/callback")) {
      planted = request.url();
    }
  });
  await signIn(attacker, "first-admin");
  await expect.poll(() => planted).toContain("code=");
  await page.goto(planted);
  await expect(page.getByRole("alert")).toContainText("was not started in this browser");
  const program = await page.request.get(planted, { maxRedirects: 0 });
  expect(program.status()).toBe(400);
  expect(await program.text()).toContain("sign-in-stale");
  expect((await page.request.get("/v1/whoami")).status()).toBe(401);
  // A callback with another state does not complete this browser's own sign-in.
  await page.request.get(`/v1/auth/login?tenant=${tenant}&issuer=${await issuerId(page)}`, {
    headers: { "sec-fetch-site": "same-origin" },
    maxRedirects: 0,
  });
  const tampered = planted.replace(/state=[^&]+/, "state=other");
  expect((await page.request.get(tampered, { maxRedirects: 0 })).status()).toBe(400);
  // Nor does the control plane redirect to another site.
  for (const elsewhere of ["https://example.com/", "//example.com/", "/\\example.com"]) {
    const query = new URLSearchParams({
      tenant,
      issuer: await issuerId(page),
      return_to: elsewhere,
    });
    const refused = await page.request.get(`/v1/auth/login?${query.toString()}`, {
      headers: { "sec-fetch-site": "same-origin" },
      maxRedirects: 0,
    });
    expect(refused.status()).toBe(400);
  }
  await attacker.context().close();
});

function signIn(page: Page, login: string): Promise<void> {
  return signInAsStaff(page, tenant, login);
}

/** Another browser, with its own cookies. */
async function newBrowser(browser: Browser): Promise<Page> {
  const context = await browser.newContext({ baseURL: CONSOLE });
  return context.newPage();
}

async function issuerId(page: Page): Promise<string> {
  const choices = (await (await page.request.get(`/v1/auth/choices?tenant=${tenant}`)).json()) as {
    issuer_id: string;
  }[];
  return choices[0]?.issuer_id ?? "";
}
