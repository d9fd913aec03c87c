import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { Page } from "@playwright/test";

/** The data folder of the system under test. */
export const data = process.env.ARMOUR_DATA_DIR ?? "";

const screenshots = process.env.ARMOUR_SCREENSHOTS;

/** Runs an operator's command. */
export function armour(...args: string[]): string {
  return execFileSync("../target/debug/armour", args, { encoding: "utf8", env: process.env });
}

/** Keeps a screenshot, if they are asked for. */
export async function shoot(page: Page, name: string) {
  if (screenshots) {
    await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
  }
}
