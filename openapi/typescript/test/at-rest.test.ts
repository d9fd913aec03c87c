/** Payloads at rest, without a control plane. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { AtRestError, Key } from "../src/at-rest.js";

const CHUNK = 64 * 1024;
const payload = new Uint8Array(CHUNK + 100).fill(7);

async function bytes(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function stream(content: Uint8Array): ReadableStream<Uint8Array> {
  return new Blob([content as Uint8Array<ArrayBuffer>]).stream();
}

test("what is sealed opens with its key alone, as bytes and as a stream", async () => {
  const key = await Key.generate();
  const sealed = await key.seal(payload);
  const again = new Key(`${key.secret()}\n`);
  assert.deepEqual(await again.open(sealed), payload);
  assert.deepEqual(await bytes(await again.openStream(stream(sealed))), payload);
  assert.deepEqual(await key.open(await bytes(await key.sealStream(stream(payload)))), payload);
  const other = await Key.generate();
  await assert.rejects(other.open(sealed), AtRestError);
  await assert.rejects(other.openStream(stream(sealed)), AtRestError);
});

test("what was changed or cut off does not open", async () => {
  const key = await Key.generate();
  const sealed = await key.seal(payload);
  const first = sealed.length - 100 - 16;
  for (const length of [0, 30, first, sealed.length - 1]) {
    await assert.rejects(key.open(sealed.slice(0, length)), AtRestError, `${length}`);
  }
  const opened = await key.openStream(stream(sealed.slice(0, first)));
  await assert.rejects(bytes(opened), AtRestError);
  const changed = sealed.slice();
  changed[first + 3] = (changed[first + 3] ?? 0) ^ 1;
  await assert.rejects(key.open(changed), AtRestError);
});

test("a key is not printed, and what is none is refused", async () => {
  const key = await Key.generate();
  assert.equal(`${key} ${inspect(key)} ${inspect([key])}`, "Key(…) Key(…) [ Key(…) ]");
  assert.throws(() => JSON.stringify({ key }), TypeError);
  const hybrid = "AGE-SECRET-KEY-PQ-1";
  for (const wrong of ["", "secret", key.secret().slice(0, -1), key.secret().slice(1), hybrid]) {
    assert.throws(() => new Key(wrong), (error: Error) => {
      assert(error instanceof AtRestError && error.cause === undefined);
      return !error.message.includes(wrong) || wrong.length < 10;
    });
  }
});
