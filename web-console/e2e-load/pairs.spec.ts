import { execFileSync } from "node:child_process";
import { test } from "@playwright/test";

import { armourJson, signInWithToken } from "../e2e/system";

const PAIRS = 100_000;

/** Inserts the tenant's rows into the database; through the API it would take an hour. */
function fill(tenant: string) {
  const sql = `
    SELECT set_config('armour.tenant', '${tenant}', false);
    INSERT INTO parties (tenant_id, party_id, role, name)
      SELECT '${tenant}', gen_random_uuid(), role, role || ' ' || md5(n::text)
      FROM generate_series(1, 1000) n, (VALUES ('consumer'), ('producer')) AS r (role);
    INSERT INTO pairs (tenant_id, pair_id, consumer_id, producer_id, policy)
      SELECT '${tenant}', gen_random_uuid(), c.party_id, p.party_id,
             (SELECT policy FROM pairs LIMIT 1)
      FROM (SELECT party_id FROM parties WHERE role = 'consumer' ORDER BY name LIMIT 1000) c,
           (SELECT party_id FROM parties WHERE role = 'producer' ORDER BY name LIMIT 100) p
      ON CONFLICT DO NOTHING;
    ANALYZE pairs; ANALYZE parties;`;
  const url = "postgres://armour@127.0.0.1:7332/armour";
  execFileSync("psql", ["-q", "-v", "ON_ERROR_STOP=1", url, "-c", sql]);
}

function percentile(sorted: number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

test("the list of 100,000 pairs scrolls", async ({ page }) => {
  test.setTimeout(300_000);
  const who = armourJson<{ tenant_id: string }>("whoami");
  fill(who.tenant_id);
  const times: number[] = [];
  page.on("requestfinished", (request) => {
    if (request.url().includes("/v1/pairs?")) {
      const timing = request.timing();
      times.push(timing.responseEnd - timing.requestStart);
    }
  });
  await signInWithToken(page);
  console.log(
    `${"order".padEnd(24)}${"rows".padStart(8)}${"API p50".padStart(10)}${"API p95".padStart(10)}` +
      `${"frame p50".padStart(12)}${"frame p95".padStart(12)}${"worst".padStart(10)}   (ms)`,
  );
  for (const query of [
    "",
    "sort=oldest",
    "sort=consumer",
    "sort=producer-descending",
    "search=7f",
  ]) {
    times.length = 0;
    await page.goto(`/pairs?${query}`);
    await page.getByRole("row").nth(3).waitFor();
    const { frames, rows } = await page.evaluate(async () => {
      const list = document.querySelector(".rows");
      const spent: number[] = [];
      let before = performance.now();
      for (let step = 0; list && step < 600; step++) {
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        spent.push(now - before);
        before = now;
        list.scrollTop += 240;
      }
      const last = [...document.querySelectorAll("[aria-rowindex]")].at(-1);
      return { frames: spent, rows: Number(last?.getAttribute("aria-rowindex")) };
    });
    const sorted = [...times].sort((a, b) => a - b);
    const spent = frames.sort((a, b) => a - b);
    const figures = [
      percentile(sorted, 0.5),
      percentile(sorted, 0.95),
      percentile(spent, 0.5),
      percentile(spent, 0.95),
      spent.at(-1) ?? 0,
    ].map((ms) => ms.toFixed(1));
    console.log(
      `${(query || "sort=newest").padEnd(24)}${String(rows).padStart(8)}` +
        `${figures[0]?.padStart(10)}${figures[1]?.padStart(10)}` +
        `${figures[2]?.padStart(12)}${figures[3]?.padStart(12)}${figures[4]?.padStart(10)}`,
    );
  }
  console.log(`${PAIRS.toLocaleString()} pairs; rows scrolled by 600 steps of 240 px`);
});
