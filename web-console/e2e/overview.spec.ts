import { expect, test } from "@playwright/test";

import {
  armour,
  armourJson,
  collectErrors,
  expectAccessible,
  signInWithToken,
  takeScreenshots,
} from "./system";

test("the overview shows figures, and events as they happen", async ({ page }) => {
  const errors = collectErrors(page);
  await signInWithToken(page);
  await expect(page.getByText("Active pairs")).toBeVisible();
  await expect(page.getByText("Exchanges per second")).toBeVisible();
  armour("pairs", "list");
  const pair = armourJson<{ id: string }[]>("pairs", "list")[0];
  armour("pairs", "policy", pair?.id ?? "", '{"max_lanes": 17}');
  await expect(page.getByText("pair.updated").first()).toBeVisible();
  await takeScreenshots(page, "overview");
  await expectAccessible(page);
  expect(errors).toEqual([]);
});
