import { expect, test } from "@playwright/test";

import {
  collectErrors,
  expectAccessible,
  openPage,
  signInWithToken,
  takeScreenshots,
} from "./system";

test("pairs are created, found, and their policy is not overwritten by a concurrent edit", async ({
  page,
  browser,
}) => {
  const errors = collectErrors(page);
  await signInWithToken(page);
  await openPage(page, "Pairs");
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
  await expect(other.getByLabel("Lease (ms)")).toHaveValue("60000");
  await page.getByLabel("Lease (ms)").fill("70000");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("pair.policy")).toBeVisible();
  await other.getByLabel("Lease (ms)").fill("80000");
  const refused = other.waitForResponse((answer) => answer.status() === 412);
  await other.getByRole("button", { name: "Save" }).click();
  await refused;
  await expect(other.getByRole("alert").filter({ hasText: "changed this pair" })).toBeVisible();
  await expect(other.getByLabel("Lease (ms)")).toHaveValue("70000");
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
