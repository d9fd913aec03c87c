import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@playwright/test";

import { armour, data, shoot } from "./system";

test("a collision is seen as it happens, and the pair re-armed", async ({ page }) => {
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().includes("401")) {
      complaints.push(message.text());
    }
  });
  page.on("pageerror", (error) => complaints.push(error.message));

  const response = await page.goto("/");
  expect(response?.headers()["content-security-policy"]).toContain("default-src 'self'");
  await page.getByText("Sign in with an API token").click();
  await page.getByLabel("API token").fill("armour_op_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toContainText("does not know this token");

  const token = readFileSync(join(data, "operator-token"), "utf8");
  await page.getByLabel("API token").fill(token);
  await page.keyboard.press("Enter");
  const row = page.getByRole("row").filter({ hasText: "laptop" });
  await expect(row).toContainText("active");
  await expect(row.getByText("healthy")).toHaveCount(2);
  await expect(page.getByRole("status")).toHaveText("Live");
  await expect(page.getByTestId("collision")).toHaveCount(0);
  await shoot(page, "healthy");

  armour("demo", "clone", "--leave");
  // Nobody reloads the page.
  await expect(page.getByTestId("collision")).toHaveCount(1);
  await expect(page.getByTestId("collision")).toContainText("Every ticket of bundle");
  await expect(row).toContainText("disconnected");
  await expect(page.getByText("collision.detected")).toBeVisible();
  await shoot(page, "collision");

  await row.getByRole("button", { name: "Re-arm…" }).click();
  await page.getByLabel("Reason").fill("the copy was found and deleted");
  await page.getByRole("dialog").getByRole("button", { name: "Re-arm" }).click();
  await expect(row).toContainText("active");
  await expect(page.getByText("pair.re-armed")).toBeVisible();
  const answer = await page.request.get("http://127.0.0.1:7301/echo?id=again");
  expect(await answer.text()).toBe("again");
  expect(armour("audit", "list")).toContain("pair.re-arm");

  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByText("Sign in with an API token")).toBeVisible();
  expect(complaints).toEqual([]);
});
