import { expect, test } from "@playwright/test";

import { expectAccessible, openPage, signInWithToken, takeScreenshots } from "./system";

test("endpoints are listed, and agents enrolled", async ({ page }) => {
  await signInWithToken(page);
  await openPage(page, "Endpoints");
  const healthy = page.getByRole("row").filter({ hasText: "healthy" });
  await expect(healthy).toHaveCount(2);
  const dialog = page.getByRole("dialog");
  // Others may be listed whose starts have ended.
  await healthy.first().getByRole("button", { name: "Starts" }).click();
  await expect(dialog.getByRole("row").filter({ hasText: "lives" })).toHaveCount(1);
  await dialog.getByRole("button", { name: "Close" }).click();
  await expect(dialog).toHaveCount(0);
  await page.getByRole("button", { name: "Enrol an agent" }).click();
  await dialog.getByRole("combobox", { name: "Consumer or producer" }).click();
  await page.getByRole("option", { name: "files (producer)" }).click();
  await dialog.getByRole("button", { name: "Create" }).click();
  await expect(dialog.getByTestId("secret")).toContainText("armour_enrol_");
  await dialog.getByRole("button", { name: "Close" }).last().click();
  await takeScreenshots(page, "endpoints");
  await expectAccessible(page);
});
