import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import { type Page, expect } from "@playwright/test";

/** The data directory of the system under test. */
export const dataDir = process.env.ARMOUR_DATA_DIR ?? "";

const screenshots = process.env.ARMOUR_SCREENSHOTS;
/** Where the control plane under test listens. */
const LISTEN = "127.0.0.1:7300";
export const CONSOLE = `http://${LISTEN}`;
/** Where the consumer's agent listens. */
export const CONSUMER = "http://127.0.0.1:7301";

/** Runs an operator's command. */
export function armour(...args: string[]): string {
  return execFileSync("../target/debug/armour", args, { encoding: "utf8", env: process.env });
}

/** What an operator's command prints as JSON. */
export function armourJson<T>(...args: string[]): T {
  return JSON.parse(armour(...args, "-o", "json")) as T;
}

/** Takes a screenshot in light and dark, if ARMOUR_SCREENSHOTS is set. */
export async function takeScreenshots(page: Page, name: string) {
  if (!screenshots) {
    return;
  }
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(screenshots, `${name}-${colorScheme}.png`) });
  }
  await page.emulateMedia({ colorScheme: "light" });
}

/** Signs in as the local operator, or with another token file of the data directory. */
export async function signInWithToken(page: Page, file = "operator-token") {
  await page.goto("/");
  await page.getByRole("button", { name: "Sign in with an API token" }).click();
  await page.getByLabel("API token").fill(readFileSync(join(dataDir, file), "utf8"));
  await page.keyboard.press("Enter");
  await expect(page.getByRole("button", { name: "Sign out" })).toBeVisible();
}

/** Opens a page by its link in the navigation. */
export async function openPage(page: Page, name: string) {
  await page.getByRole("navigation").getByRole("link", { name }).click();
  await expect(page.getByRole("heading", { level: 2, name })).toBeVisible();
}

/** Kills the control plane under test; `armour dev` starts it again. */
export function killControlPlane() {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const program = readlinkSync(`/proc/${pid}/exe`);
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
      if (program.endsWith("/armour-control-plane") && environment.includes(`=${LISTEN}\0`)) {
        process.kill(Number(pid), "SIGKILL");
        return;
      }
    } catch {
      // Another user's process, or one that has ended.
    }
  }
  throw new Error("no control plane is running");
}

/** Collects the page's errors, except refusals that a test provokes. */
export function collectErrors(page: Page): string[] {
  const errors: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of (401|403|412)/.test(message.text())) {
      errors.push(message.text());
    }
  });
  page.on("pageerror", (error) => errors.push(error.message));
  return errors;
}

/** Expects no violation of WCAG 2.2 AA that axe can detect, in light and in dark. */
export async function expectAccessible(page: Page) {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await new AxeBuilder({ page })
      .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"])
      .analyze();
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((n) => n.html).join(" ")}`);
    expect(found, `${page.url()} in ${colorScheme}`).toEqual([]);
  }
  await page.emulateMedia({ colorScheme: "light" });
}
