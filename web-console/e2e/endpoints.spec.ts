import { expect, test } from "@playwright/test";

import { expectAccessible, openPage, signInWithToken, takeScreenshots } from "./system";

test("endpoints are listed, and agents enrolled", async ({ page }) => {
  await signInWithToken(page);
  await openPage(page, "Endpoints");
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
