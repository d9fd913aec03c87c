import { tmpdir } from "node:os";
import { join } from "node:path";
import { chmodSync, mkdtempSync } from "node:fs";
import { defineConfig } from "@playwright/test";

// Workers read the configuration again, and must find the same directory.
process.env.ARMOUR_DATA_DIR ??= mkdtempSync(join(tmpdir(), "armour-console-"));
// PostgreSQL's and nginx's users must be able to reach their files in it.
chmodSync(process.env.ARMOUR_DATA_DIR, 0o711);

/** The real system, on its own ports. */
const dev = [
  "../target/debug/armour dev",
  "--listen 127.0.0.1:7300 --consumer 127.0.0.1:7301 --producer 127.0.0.1:7302",
  "--upstream-port 7380 --postgres-port 7332 --console-dir dist",
].join(" ");

export default defineConfig({
  testDir: "e2e",
  workers: 1,
  // Long enough for a machine that has other things to do: only a hung test meets them.
  timeout: 300_000,
  expect: { timeout: 60_000 },
  reporter: [["list"]],
  outputDir: "../target/playwright",
  use: {
    baseURL: "http://127.0.0.1:7300",
    // During an animation the contrast is lower.
    contextOptions: { reducedMotion: "reduce" },
    viewport: { width: 1100, height: 800 },
    launchOptions: {
      executablePath: "/usr/bin/chromium",
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
  webServer: {
    command: dev,
    // The consumer's agent is the last to be up.
    url: "http://127.0.0.1:7301/",
    timeout: 180_000,
    gracefulShutdown: { signal: "SIGTERM", timeout: 30_000 },
  },
});
