import { expect, test } from "@playwright/test";

import {
  armour,
  armourJson,
  collectErrors,
  expectAccessible,
  openPage,
  signInWithToken,
  takeScreenshots,
} from "./system";

test("tokens, issuers and webhooks are managed", async ({ page }) => {
  const errors = collectErrors(page);
  await signInWithToken(page);
  await openPage(page, "Access");
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
  const pair = armourJson<{ id: string }[]>("pairs", "list").at(-1);
  armour("pairs", "policy", pair?.id ?? "", '{"max_lanes": 18}');
  await page.getByRole("button", { name: "Deliveries" }).click();
  await expect(dialog.getByRole("row").filter({ hasText: "pair.updated" })).toContainText(
    /pending.*(refused|error)/,
  );
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Redeliver" }).first().click();
  const again = page.getByRole("dialog", { name: "Redeliver" });
  await again.getByRole("button", { name: "Redeliver" }).click();
  await expect(again).toHaveCount(0);
  expect(armour("audit", "list", "--action", "webhook.replay")).toContain("webhook.replay");
  expect(errors.filter((text) => !text.includes("400"))).toEqual([]);
});
