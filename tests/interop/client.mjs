// Cases of undici: node client.mjs PATH-OF-UNDICI BASE CASE. Prints `passed`, or a line for each
// event; ends with another code than 0 if it does not pass.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";

const [undici, base, name] = process.argv.slice(2);
const { Client, EventSource, H2CClient, WebSocket, fetch } = (await import(pathToFileURL(undici))).default;

const EVENTS = 5;
const data = randomBytes(1_000_000);

async function whole(body) {
  return Buffer.from(await body.arrayBuffer());
}

async function echo(client) {
  const { body } = await client.request({ method: "POST", path: "/echo", body: data });
  assert.deepEqual(await whole(body), data);
}

async function get(client) {
  const { statusCode, body } = await client.request({ method: "GET", path: "/hello" });
  assert.equal(statusCode, 200);
  assert.equal(await body.text(), "hello");
}

const cases = {
  async fetch() {
    const answer = await fetch(`${base}/hello`);
    assert.equal(await answer.text(), "hello");
  },
  async echo() {
    await echo(new Client(base));
  },
  async streamed() {
    const parts = Readable.from((function* () {
      for (let at = 0; at < data.length; at += 10_000) yield data.subarray(at, at + 10_000);
    })());
    const answer = await fetch(`${base}/echo`, { method: "POST", body: parts, duplex: "half" });
    assert.deepEqual(await whole(answer), data);
  },
  async pipelined() {
    const client = new Client(base, { pipelining: 10 });
    await Promise.all(Array.from({ length: 50 }, () => get(client)));
  },
  async early413() {
    const client = new Client(base);
    const answer = await client.request({ method: "POST", path: "/large", body: Buffer.alloc(20_000_000) });
    assert.equal(answer.statusCode, 413);
  },
  async hints() {
    const seen = [];
    const client = new Client(base);
    const answer = await client.request({ method: "GET", path: "/hints", onInfo: (info) => seen.push(info.statusCode) });
    assert.equal(await answer.body.text(), "hello");
    assert.deepEqual(seen, [103, 103]);
  },
  async trailers() {
    const client = new Client(base);
    const answer = await client.request({ method: "GET", path: "/trailers", headers: { te: "trailers" } });
    await answer.body.text();
    assert.equal(answer.trailers["x-checked"], "yes");
  },
  async h2c() {
    const client = new H2CClient(base);
    await Promise.all(Array.from({ length: 20 }, () => get(client)));
  },
  async h2cEcho() {
    await echo(new H2CClient(base));
  },
  async fetchEvents() {
    const answer = await fetch(`${base}/events`);
    for await (const part of answer.body) process.stdout.write(Buffer.from(part).toString().trim() + "\n");
  },
  async EventSource() {
    const source = new EventSource(`${base}/events`);
    let seen = 0;
    await new Promise((resolve, reject) => {
      source.onerror = () => reject(new Error(`after ${seen} events`));
      source.onmessage = (event) => {
        process.stdout.write(`data: ${event.data}\n`);
        if (++seen === EVENTS) resolve();
      };
    });
    source.close();
  },
  async webSocket() {
    const socket = new WebSocket(`${base.replace("http", "ws")}/talk`, ["chat.v1"]);
    socket.binaryType = "arraybuffer";
    const next = () => new Promise((resolve, reject) => {
      socket.onmessage = (event) => resolve(event.data);
      socket.onclose = (event) => reject(new Error(`closed with ${event.code}`));
      socket.onerror = (event) => reject(event.error ?? new Error("no socket"));
    });
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = (event) => reject(event.error ?? new Error("no socket"));
    });
    assert.equal(socket.protocol, "chat.v1");
    socket.send("text");
    assert.equal(await next(), "text");
    socket.send(data);
    assert.deepEqual(Buffer.from(await next()), data);
    const closed = new Promise((resolve) => (socket.onclose = resolve));
    socket.send("close");
    const { code, reason } = await closed;
    assert.deepEqual([code, reason], [4002, "as asked"]);
  },
};

await cases[name]();
process.stdout.write("passed\n");
process.exit(0);
