import { expect, test } from "@playwright/test";

import { CONSUMER, expectAccessible, openPage, signInWithToken, takeScreenshots } from "./system";

test("a bundle's lanes are shown ticket by ticket", async ({ page }) => {
  for (let call = 0; call < 12; call++) {
    expect((await page.request.get(`${CONSUMER}/echo?id=x`)).ok()).toBe(true);
  }
  await signInWithToken(page);
  await openPage(page, "Pairs");
  await page.getByRole("link", { name: "laptop" }).click();
  await page.getByRole("row").filter({ hasText: "active" }).getByRole("link").click();
  await expect(page.getByRole("heading", { level: 2 })).toContainText("laptop → files");
  await expect.poll(() => page.getByTestId("ticket").count()).toBeGreaterThan(5);
  await page.getByTestId("ticket").first().hover();
  await expect(page.getByText(/Ticket \d+ · [0-9a-f]{16}… · reported by both ends/)).toBeVisible();
  await takeScreenshots(page, "bundle");
  await expectAccessible(page);
});
