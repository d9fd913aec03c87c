import { expect, test } from "@playwright/test";

import { CONSUMER, armour, collectErrors, signInWithToken, takeScreenshots } from "./system";

test("a collision is seen as it happens, and the pair re-armed", async ({ page }) => {
  const errors = collectErrors(page);
  const response = await page.goto("/");
  const policy = response?.headers()["content-security-policy"] ?? "";
  expect(policy).toContain("default-src 'self'");
  expect(policy).not.toContain("unsafe");
  await page.getByRole("button", { name: "Sign in with an API token" }).click();
  await page.getByLabel("API token").fill("armour_op_wrong");
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await expect(page.getByRole("alert")).toContainText("is unknown, expired or revoked");
  await signInWithToken(page);
  await expect(page.getByRole("status")).toHaveText("Live");

  await page.getByRole("link", { name: "Pairs" }).click();
  const row = page.getByRole("row").filter({ hasText: "laptop" });
  await expect(row).toContainText("active");
  await takeScreenshots(page, "healthy");
  await page.getByRole("link", { name: "Collisions" }).click();
  await expect(page.getByTestId("collision")).toHaveCount(0);

  // The page is not reloaded. In the first of these thefts the thief calls before the owner:
  // a heartbeat between the two calls would let the owner disown the thief's ticket. In the
  // second the owner calls first, so that the thief's ticket is always a second successor.
  armour("demo", "clone", "--runs", "2", "--leave");
  await expect(page.getByTestId("collision")).toHaveCount(2);
  const collision = page.getByTestId("collision").first();
  await expect(collision).toContainText("Two different tickets in one place");
  // Its evidence is saved from the list: not every collision has a bundle's page.
  const saved = page.waitForEvent("download");
  await collision.getByRole("button", { name: "Export evidence" }).click();
  expect((await saved).suggestedFilename()).toMatch(/^evidence-.*\.json$/);
  await collision.getByRole("link").click();
  await expect(page.getByTestId("verdict")).toContainText("signed with the consumer’s key");
  await expect(page.getByTestId("fork")).toHaveCount(1);
  expect(await page.getByTestId("ticket").count()).toBeGreaterThan(2);
  // Both ends have reported the tickets before the fork.
  await page.getByTestId("ticket").first().hover();
  await expect(page.getByRole("tooltip")).toContainText("reported by both ends");
  // The producer: its consumer has ended.
  await expect(page.getByText(/^after [\d,]+ ms$/)).toHaveCount(1);
  await takeScreenshots(page, "collision");

  // The identity that was copied has ended: people enrol the endpoint anew, and re-arm the pair.
  armour("demo", "enrol");
  await page.getByRole("button", { name: "Re-arm…" }).click();
  const dialog = page.getByRole("dialog");
  const reArm = dialog.getByRole("button", { name: "Re-arm" });
  await dialog.getByLabel("Reason").fill("the copy was found and deleted");
  await expect(reArm).toBeDisabled();
  await dialog.getByLabel("to confirm").fill("laptop");
  await reArm.click();
  await expect(dialog).toHaveCount(0);
  await page.getByRole("link", { name: "Pairs" }).first().click();
  await expect(row).toContainText("active");
  // The agent starts anew, and learns of the re-arming from an event.
  await expect(async () => {
    const answer = await page.request.get(`${CONSUMER}/echo?id=again`);
    expect(await answer.text()).toBe("again");
  }).toPass();
  expect(armour("audit", "list")).toContain("pair.re-arm");

  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByText("Sign in with an API token")).toBeVisible();
  expect(errors).toEqual([]);
});
