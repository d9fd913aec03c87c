import { expect, test } from "@playwright/test";

import {
  collectErrors,
  expectAccessible,
  killControlPlane,
  signInWithToken,
  takeScreenshots,
} from "./system";

test("a lost event stream is shown, and everything works by keyboard", async ({ page }) => {
  await page.goto("/");
  await expectAccessible(page);
  await signInWithToken(page);
  await expect(page.getByRole("status")).toHaveText("Live");
  killControlPlane();
  await expect(page.getByRole("status")).toContainText("Stale since");
  await expect(page.getByRole("status")).toHaveText("Live");
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
