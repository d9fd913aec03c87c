import { type Page, expect, test } from "@playwright/test";

import {
  armour,
  collectErrors,
  expectAccessible,
  killControlPlane,
  takeScreenshots,
  signInWithToken,
} from "./system";

/** Opens a page by its link in the navigation. */
async function open(page: Page, name: string) {
  await page.getByRole("navigation").getByRole("link", { name }).click();
  await expect(page.getByRole("heading", { level: 2, name })).toBeVisible();
}

test("the overview shows figures, and events as they happen", async ({ page }) => {
  const errors = collectErrors(page);
  await signInWithToken(page);
  await expect(page.getByText("Active pairs")).toBeVisible();
  await expect(page.getByText("Exchanges per second")).toBeVisible();
  armour("pairs", "list");
  const pair = (JSON.parse(armour("pairs", "list", "-o", "json")) as { id: string }[])[0];
  armour("pairs", "policy", pair?.id ?? "", '{"max_lanes": 17}');
  await expect(page.getByText("pair.updated").first()).toBeVisible();
  await takeScreenshots(page, "overview");
  await expectAccessible(page);
  expect(errors).toEqual([]);
});

test("pairs are created, found, and their policy is not overwritten by a concurrent edit", async ({
  page,
  browser,
}) => {
  const errors = collectErrors(page);
  await signInWithToken(page);
  await open(page, "Pairs");
  const name = `till ${Date.now()}`;
  await page.getByRole("button", { name: "New pair" }).click();
  const dialog = page.getByRole("dialog");
  await expectAccessible(page);
  await dialog.getByLabel("Consumer name").fill(name);
  await dialog.getByLabel("Producer name").fill("files");
  await dialog.getByRole("button", { name: "Create" }).click();
  // It ends with commands that can be run unchanged.
  const commands = dialog.getByTestId("secret");
  await expect(commands).toHaveCount(2);
  await expect(commands.nth(1)).toContainText("armour-agent consumer --control-plane http");
  await expect(commands.nth(1)).toContainText(/echo armour_enrol_[0-9a-f_]+ > enrolment/);
  await takeScreenshots(page, "new-pair");
  await dialog.getByRole("button", { name: "Close" }).last().click();

  await page.getByLabel("Search names").fill(name.toUpperCase());
  await expect(page).toHaveURL(/search=/);
  await expect(page.getByRole("row")).toHaveCount(2);
  await page.getByRole("link", { name }).click();
  await expect(page.getByRole("heading", { level: 2 })).toContainText(name);
  await expect(page.getByText("No bundle has been requested yet.")).toBeVisible();

  // Somebody else edits it at the same time, on a page that receives no events.
  const other = await (await browser.newContext()).newPage();
  await other.route("**/v1/events", (route) => route.abort());
  await signInWithToken(other);
  await other.goto(page.url());
  await expect(other.getByLabel("Lease without contact (ms)")).toHaveValue("60000");
  await page.getByLabel("Lease without contact (ms)").fill("70000");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("pair.policy")).toBeVisible();
  await other.getByLabel("Lease without contact (ms)").fill("80000");
  const refused = other.waitForResponse((answer) => answer.status() === 412);
  await other.getByRole("button", { name: "Save" }).click();
  await refused;
  await expect(other.getByRole("alert").filter({ hasText: "changed this pair" })).toBeVisible();
  await expect(other.getByLabel("Lease without contact (ms)")).toHaveValue("70000");
  await other.context().close();
  await takeScreenshots(page, "pair");
  await expectAccessible(page);

  await page.getByRole("button", { name: "Disconnect…" }).click();
  await dialog.getByLabel("Reason").fill("the till was sold");
  await dialog.getByLabel("to confirm").fill(name);
  await dialog.getByRole("button", { name: "Disconnect" }).click();
  await expect(page.getByText("“the till was sold”")).toBeVisible();
  await expect(page.getByText("disconnected", { exact: true })).toBeVisible();
  expect(errors).toEqual([]);
});

test("a bundle's lanes are shown ticket by ticket", async ({ page }) => {
  for (let call = 0; call < 12; call++) {
    expect((await page.request.get("http://127.0.0.1:7301/echo?id=x")).ok()).toBe(true);
  }
  await signInWithToken(page);
  await open(page, "Pairs");
  await page.getByRole("link", { name: "laptop" }).click();
  await page.getByRole("row").filter({ hasText: "active" }).getByRole("link").click();
  await expect(page.getByRole("heading", { level: 2 })).toContainText("laptop → files");
  await expect
    .poll(() => page.getByTestId("ticket").count(), { timeout: 15_000 })
    .toBeGreaterThan(5);
  await page.getByTestId("ticket").first().hover();
  await expect(page.getByText(/Ticket \d+ · [0-9a-f]{16}… · reported by both ends/)).toBeVisible();
  await takeScreenshots(page, "bundle");
  await expectAccessible(page);
});

test("endpoints are listed, and agents enrolled", async ({ page }) => {
  await signInWithToken(page);
  await open(page, "Endpoints");
  await expect(page.getByRole("row").filter({ hasText: "healthy" })).toHaveCount(2);
  await page.getByRole("button", { name: "Enrol an agent" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("combobox", { name: "Consumer or producer" }).click();
  await page.getByRole("option", { name: "files (producer)" }).click();
  await dialog.getByRole("button", { name: "Create" }).click();
  await expect(dialog.getByTestId("secret")).toContainText("armour_enrol_");
  await dialog.getByRole("button", { name: "Close" }).last().click();
  await takeScreenshots(page, "endpoints");
  await expectAccessible(page);
});

test("the audit log is filtered, verified in the browser, followed and exported", async ({
  page,
}) => {
  const errors = collectErrors(page);
  await signInWithToken(page);
  await open(page, "Audit");
  await page.getByRole("button", { name: "Verify the log" }).click();
  await expect(page.getByText(/The latest tree head \(\d+ entries\) is signed/)).toBeVisible();
  const pair = (JSON.parse(armour("pairs", "list", "-o", "json")) as { id: string }[])[0];
  for (const lanes of [19, 20]) {
    armour("pairs", "policy", pair?.id ?? "", `{"max_lanes": ${lanes}}`);
  }
  await page.getByLabel("Action").fill("pair.policy");
  await expect(page).toHaveURL(/action=pair.policy/);
  await page.getByRole("row").nth(1).getByRole("link").click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByTestId("proof")).toContainText("is in the signed tree");
  await expect(dialog.locator(".diff-new")).not.toHaveCount(0);
  await takeScreenshots(page, "audit-entry");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Close" }).click();
  // A response that was tampered with on the way is detected.
  await page.route("**/proof**", async (route) => {
    const answer = await route.fetch();
    const proof = (await answer.json()) as { entry: { actor: string } };
    proof.entry.actor = "token:somebody-else";
    await route.fulfill({ response: answer, json: proof });
  });
  await page.getByRole("row").nth(2).getByRole("link").click();
  await expect(dialog.getByTestId("proof")).toContainText("is NOT the one");
  await dialog.getByRole("button", { name: "Close" }).click();

  await page.getByLabel("Action").fill("consumer.create");
  await page.getByRole("switch", { name: "Follow" }).check();
  await expect(page).toHaveURL(/action=consumer.create/);
  const name = `followed ${Date.now()}`;
  const made = JSON.parse(armour("consumers", "create", name, "-o", "json")) as { id: string };
  // The page is not reloaded.
  await expect(page.getByRole("row").filter({ hasText: made.id })).toBeVisible();
  await takeScreenshots(page, "audit");
  await expectAccessible(page);

  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export" }).click();
  const file = await (await download).path();
  expect(armour("audit", "verify", file)).toContain("verified  true");
  expect(errors).toEqual([]);
});

test("tokens, issuers and webhooks are managed", async ({ page }) => {
  const errors = collectErrors(page);
  await signInWithToken(page);
  await open(page, "Access");
  const dialog = page.getByRole("dialog");
  await page.getByRole("tab", { name: "API tokens" }).click();
  await page.getByRole("button", { name: "New API token" }).click();
  const name = `ci ${Date.now()}`;
  await dialog.getByLabel("Name").fill(name);
  await dialog.getByRole("button", { name: "Create" }).click();
  await expect(dialog.getByTestId("secret")).toContainText("armour_op_");
  await dialog.getByRole("button", { name: "Close" }).last().click();
  const row = page.getByRole("row").filter({ hasText: name });
  await expect(row).toContainText("operator");
  await takeScreenshots(page, "access");
  await expectAccessible(page);
  await row.getByRole("button", { name: "Revoke" }).click();
  await dialog.getByLabel("to confirm").fill(name);
  await dialog.getByRole("button", { name: "Revoke" }).click();
  await expect(row).toHaveCount(0);

  await page.getByRole("tab", { name: "Webhooks" }).click();
  await page.getByRole("button", { name: "New webhook" }).click();
  await dialog.getByLabel("URL").fill("http://127.0.0.1:9/hook");
  await dialog.getByLabel("Event kinds").fill("pair.created, pair.creatd");
  await dialog.getByRole("button", { name: "Create" }).click();
  await expect(dialog.getByRole("alert")).toContainText("there are no events pair.creatd");
  await dialog.getByLabel("Event kinds").fill("pair.updated");
  await dialog.getByRole("button", { name: "Create" }).click();
  await expect(dialog.getByTestId("secret")).toContainText("whsec_");
  await dialog.getByRole("button", { name: "Close" }).last().click();
  const pair = (JSON.parse(armour("pairs", "list", "-o", "json")) as { id: string }[]).at(-1);
  armour("pairs", "policy", pair?.id ?? "", '{"max_lanes": 18}');
  await page.getByRole("button", { name: "Deliveries" }).click();
  await expect(dialog.getByRole("row").filter({ hasText: "pair.updated" })).toContainText(
    /pending.*(refused|error)/,
    { timeout: 10_000 },
  );
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Redeliver" }).first().click();
  const again = page.getByRole("dialog", { name: "Redeliver" });
  await again.getByRole("button", { name: "Redeliver" }).click();
  await expect(again).toHaveCount(0);
  expect(armour("audit", "list", "--action", "webhook.replay")).toContain("webhook.replay");
  expect(errors.filter((text) => !text.includes("400"))).toEqual([]);
});

test("a platform administrator sees the service, and no tenant's data", async ({ page }) => {
  await signInWithToken(page, "platform-token");
  await expect(page.getByRole("heading", { name: "Replicas" })).toBeVisible();
  await expect(page.getByText(/PostgreSQL \d+/)).toBeVisible();
  await expect(page.getByRole("row").filter({ hasText: "dev" })).toBeVisible();
  // The system page and the API reference.
  await expect(page.getByRole("navigation").getByRole("link")).toHaveCount(2);
  await takeScreenshots(page, "system");
  await expectAccessible(page);

  // A tenant's figures, found by its name or ID.
  const tenant = (JSON.parse(armour("whoami", "-o", "json")) as { tenant_id: string }).tenant_id;
  const choose = async (where: Page) => {
    await where.getByRole("combobox", { name: "Tenant" }).fill(tenant.slice(0, 30));
    await where.getByRole("option", { name: "dev" }).click();
  };
  await choose(page);
  await expect(page).toHaveURL(new RegExp(`/tenants/${tenant}$`));
  await expect(page.getByRole("heading", { level: 2, name: "dev" })).toBeVisible();
  await expect(page.getByText("Active pairs")).toBeVisible();
  await expect(page.getByText("laptop")).toHaveCount(0);
  await takeScreenshots(page, "tenant");
  await expectAccessible(page);

  // Two people change its quotas: the second is told, and does not overwrite the first.
  const other = await page.context().newPage();
  await signInWithToken(other, "platform-token");
  await choose(other);
  await other.getByLabel("Webhooks").fill("21");
  await other.getByRole("button", { name: "Save" }).click();
  await expect.poll(() => armour("quotas", "-o", "json")).toMatch(/"webhooks": 21/);
  await page.getByLabel("Issuers").fill("22");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("alert")).toContainText("Somebody else changed these quotas");
  await page.getByRole("button", { name: "Load their version" }).click();
  await expect(page.getByLabel("Webhooks")).toHaveValue("21");
  await page.getByLabel("Issuers").fill("22");
  await page.getByRole("button", { name: "Save" }).click();
  await expect.poll(() => armour("quotas", "-o", "json")).toMatch(/"issuers": 22/);
  await other.close();

  await page.getByRole("link", { name: "System" }).click();
  await expect(page.getByRole("heading", { name: "Replicas" })).toBeVisible();
});

test("a lost event stream is shown, and everything works by keyboard", async ({ page }) => {
  await page.goto("/");
  await expectAccessible(page);
  await signInWithToken(page);
  await expect(page.getByRole("status")).toHaveText("Live");
  killControlPlane();
  await expect(page.getByRole("status")).toContainText("Stale since");
  await expect(page.getByRole("status")).toHaveText("Live", { timeout: 15_000 });
  // From the top of the page to a pair, without a mouse.
  await page.reload();
  await expect(page.getByRole("status")).toHaveText("Live");
  await page.keyboard.press("Tab");
  await expect(page.getByText("Skip to content")).toBeFocused();
  const pairs = page.getByRole("navigation").getByRole("link", { name: "Pairs" });
  for (let step = 0; step < 12; step++) {
    if (await pairs.evaluate((link) => link === document.activeElement)) {
      break;
    }
    await page.keyboard.press("Tab");
  }
  await expect(pairs).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 2, name: "Pairs" })).toBeVisible();
  // And on a narrow screen.
  await page.setViewportSize({ width: 360, height: 640 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(width).toBeLessThanOrEqual(360);
  await page.getByRole("button", { name: "Armour" }).click();
  await page.getByRole("navigation").getByRole("link", { name: "Endpoints" }).click();
  await expect(page.getByRole("heading", { level: 2, name: "Endpoints" })).toBeVisible();
  await takeScreenshots(page, "narrow");
});

test("the API reference is linked, and its requests can be tried", async ({ page }) => {
  const errors = collectErrors(page);
  await signInWithToken(page);
  await page.getByRole("navigation").getByRole("link", { name: "API reference" }).click();
  await expect(page.getByRole("heading", { name: /^Armour/ })).toBeVisible();
  const live = page.locator("#operations-health-get_health");
  await live.getByRole("button", { name: "/v1/health" }).first().click();
  await live.getByRole("button", { name: "Try it out" }).click();
  await live.getByRole("button", { name: "Execute" }).click();
  await expect(live.locator(".live-responses-table")).toContainText('"status": "ok"');
  expect(errors).toEqual([]);
});
