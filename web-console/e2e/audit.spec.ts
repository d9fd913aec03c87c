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

test("the audit log is filtered, verified in the browser, followed and exported", async ({
  page,
}) => {
  const errors = collectErrors(page);
  await signInWithToken(page);
  await openPage(page, "Audit");
  // Its key is replaced; the browser follows from the first one.
  const rotated = armourJson<{ new_key: string }>("audit", "rotate-key", "--reason", "test");
  await page.getByRole("button", { name: "Verify the log" }).click();
  const verified = page.getByText(/The latest tree head \(\d+ entries\) is signed/);
  await expect(verified).toContainText(rotated.new_key);
  const pair = armourJson<{ id: string }[]>("pairs", "list")[0];
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
  const made = armourJson<{ id: string }>("consumers", "create", name);
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
