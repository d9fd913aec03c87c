import { type Page, expect, test } from "@playwright/test";

import { armour, armourJson, expectAccessible, signInWithToken, takeScreenshots } from "./system";

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
  const tenant = armourJson<{ tenant_id: string }>("whoami").tenant_id;
  const choose = async (where: Page) => {
    await where.getByRole("combobox", { name: "Tenant" }).fill(tenant.slice(0, 30));
    await where.getByRole("option", { name: "dev" }).click();
  };
  await choose(page);
  await expect(page).toHaveURL(new RegExp(`/tenants/${tenant}$`));
  await expect(page.getByRole("heading", { level: 2, name: "dev" })).toBeVisible();
  await expect(page.getByText("Active pairs")).toBeVisible();
  await expect(page.getByText("laptop")).toHaveCount(0);
  await expect(page.getByText("Loading…")).toHaveCount(0);
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
