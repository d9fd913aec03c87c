/** On a running control plane: ARMOUR_SERVER and ARMOUR_PLATFORM_TOKEN name it. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { ArmourError, armour, pages, unwrap } from "../src/index.js";

const server = process.env.ARMOUR_SERVER;
const token = process.env.ARMOUR_PLATFORM_TOKEN;
assert(server && token, "set ARMOUR_SERVER and ARMOUR_PLATFORM_TOKEN");

test("a tenant, its pair and its bundles", async () => {
  const platform = armour(server, token);
  const made = await unwrap(platform.POST("/v1/tenants", { body: { name: `ts ${Date.now()}` } }));
  const admin = armour(server, async () => made.token);
  const party = async (path: "/v1/consumers" | "/v1/producers", name: string) =>
    unwrap(admin.POST(path, { body: { name } }));
  const [consumer, producer] = [
    await party("/v1/consumers", "shop"),
    await party("/v1/producers", "stock"),
  ];
  const pair = await unwrap(
    admin.POST("/v1/pairs", {
      body: { consumer_id: consumer.id, producer_id: producer.id, policy: { suite: 2 } },
    }),
  );
  assert.equal(pair.state, "active");
  assert.equal(pair.policy.suite, 2);
  const read = await unwrap(admin.GET("/v1/pairs/{id}", { params: { path: { id: pair.id } } }));
  assert.deepEqual(read, pair);
  const bundles = await unwrap(
    admin.GET("/v1/bundles", { params: { query: { pair_id: pair.id } } }),
  );
  assert.deepEqual(bundles.items, []);
});

test("a list over several pages", async () => {
  const platform = armour(server, token);
  const made = await unwrap(platform.POST("/v1/tenants", { body: { name: `many ${Date.now()}` } }));
  const admin = armour(server, made.token);
  for (let number = 0; number < 120; number += 1) {
    await unwrap(admin.POST("/v1/producers", { body: { name: `stock ${number}` } }));
  }
  const names = new Set<string>();
  const list = pages((cursor) =>
    unwrap(admin.GET("/v1/producers", { params: { query: cursor ? { cursor } : {} } })),
  );
  for await (const one of list) {
    names.add(one.name);
  }
  assert.equal(names.size, 120);
});

test("refusals are told apart", async () => {
  const stranger = armour(server, "arm_nobody");
  await assert.rejects(unwrap(stranger.GET("/v1/pairs")), (error) => {
    assert(error instanceof ArmourError);
    assert.equal(error.status, 401);
    return error.problem !== undefined && error.is("unauthenticated");
  });
});
