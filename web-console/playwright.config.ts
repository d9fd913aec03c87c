import { tmpdir } from "node:os";
import { join } from "node:path";
import { chmodSync, mkdtempSync } from "node:fs";
import { defineConfig } from "@playwright/test";

// Workers read the configuration again; the folder must be the same one.
process.env.ARMOUR_DATA_DIR ??= mkdtempSync(join(tmpdir(), "armour-console-"));
// PostgreSQL's and nginx's users must be able to pass through.
chmodSync(process.env.ARMOUR_DATA_DIR, 0o711);

/** The real system, on ports of its own. */
const dev = [
  "../target/debug/armour dev",
  "--listen 127.0.0.1:7300 --consumer 127.0.0.1:7301 --producer 127.0.0.1:7302",
  "--upstream-port 7380 --postgres-port 7332 --console-dir dist",
].join(" ");

export default defineConfig({
  testDir: "e2e",
  workers: 1,
  timeout: 60_000,
  reporter: [["list"]],
  outputDir: "../target/playwright",
  use: {
    baseURL: "http://127.0.0.1:7300",
    // What still moves in has not its full contrast yet.
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
    // Served once the consumer's agent is up, which is last.
    url: "http://127.0.0.1:7301/",
    timeout: 60_000,
    gracefulShutdown: { signal: "SIGTERM", timeout: 30_000 },
  },
});
