import type { Evidence } from "../../api/client";
import { concat, fromBase64, isSigned, sameBytes, sha256 } from "../../lib/crypto";

/**
 * Tickets and receipts as evidence, verified in this browser. The layouts are those of
 * `docs/protocol.md`: Context, Bodies, Proofs, Ledger.
 */

type Bytes = Uint8Array<ArrayBuffer>;

const VERSION = 2;
/** Of bodies' kinds, from 1. */
const LABELS = [
  "armour/2 ticket",
  "armour/2 receipt",
  "armour/2 sub-ticket",
  "armour/2 sub-receipt",
] as const;
/** Of batches, whose numbers have others between them. */
const BATCHES = [1, 2, 5, 6] as const;

/** Both messages of a collision, and whether both are signed and contradict each other. */
export async function isContradiction(evidence: Evidence): Promise<boolean | undefined> {
  const { kind, recorded, reported, lane, n, k } = evidence.collision;
  const { bundle } = evidence;
  if (!(kind === "fork" || kind === "producer-clone") || !bundle || !recorded || !reported) {
    return undefined;
  }
  try {
    const context = await contextHash(bundle);
    const keys = [bundle.consumer.incarnation_key, bundle.producer.incarnation_key];
    const wanted = (kind === "fork" ? 1 : 2) + (k ? 2 : 0);
    const said = await Promise.all(
      [recorded, reported].map((text) => readTestimony(fromBase64(text), bundle, context, keys)),
    );
    const [a, b] = said.map((bodies) => bodyAt(bodies, wanted, n, k ?? 0));
    if (a === undefined || b === undefined) {
      // A sub-ticket beside a ticket; or it is not what it is said to be.
      return k && kind === "fork" ? undefined : false;
    }
    const isOther =
      [a, b].every((body) => readNumber(body.subarray(19, 21)) === lane) && !sameBytes(a, b);
    const followOne = sameBytes(a.subarray(33, 65), b.subarray(33, 65));
    // Two tickets after one receipt may name more and less of the sub-receipts beside it.
    return isOther && !followOne && wanted === 1 ? undefined : isOther && followOne;
  } catch {
    return false;
  }
}

/** The bodies that a testimony's proofs vouch for. Throws if it is malformed or not signed. */
async function readTestimony(
  bytes: Bytes,
  bundle: NonNullable<Evidence["bundle"]>,
  context: Bytes,
  keys: string[],
): Promise<Bytes[]> {
  const reader = new Reader(bytes);
  const form = reader.number(1);
  if (form === 1 || form === 3) {
    const body = reader.take(97);
    await verify(body, reader.rest(), context, keys);
    return [body];
  }
  const isLine = form === 4;
  const firstKind = isLine ? 3 : 1;
  const lane = reader.take(2);
  let n = reader.number(8);
  let k = isLine ? reader.number(4) : 0;
  let previous = reader.take(32);
  const count = reader.number(4);
  const bodies: Bytes[] = [];
  for (let at = 0; at < count; at++) {
    const kind = firstKind + (at % 2);
    const body = concat(
      Uint8Array.of(VERSION, bundle.suite, kind),
      uuid(bundle.bundle_id),
      lane,
      number(n, 8),
      number(k, 4),
      previous,
      reader.take(32),
    );
    bodies.push(body);
    previous =
      kind === 2
        ? await hash("armour/2 link", body, new Uint8Array(32))
        : await hash("armour/2 body", body);
    n += kind === 2 ? 1 : 0;
    k += kind === 4 ? 1 : 0;
  }
  for (const kind of [firstKind, firstKind + 1]) {
    const proof = reader.take(reader.number(2));
    const last = bodies.findLast((body) => body[2] === kind);
    if (last) {
      await verify(last, proof, context, keys);
    }
  }
  return bodies;
}

/** Throws unless the end that says such bodies signed this one. */
async function verify(body: Bytes, proof: Bytes, context: Bytes, keys: string[]): Promise<void> {
  const kind = body[2] ?? 0;
  const [label, batch] = [LABELS[kind - 1], BATCHES[kind - 1]];
  if (label === undefined || batch === undefined) {
    throw new Error("of no known kind");
  }
  const statement = join(label, context, body);
  const reader = new Reader(proof);
  const count = reader.number(1);
  let signed = statement;
  if (count > 1) {
    const index = reader.number(1);
    const salt = reader.take(16);
    const path: Bytes[] = [];
    while (reader.left > 64) {
      path.push(reader.take(32));
    }
    const root = await merkleRoot(await sha256(concat(Uint8Array.of(0), salt, statement)), index, count, path);
    signed = join("armour/2 batch", Uint8Array.of(batch), Uint8Array.of(count), root);
  }
  const signature = reader.take(64);
  if (reader.left !== 0 || !(await isSigned(keys[(kind - 1) % 2] ?? "", signed, signature))) {
    throw new Error("not signed");
  }
}

/** The root above a leaf (RFC 9162, section 2.1.3.2). */
async function merkleRoot(
  leaf: Bytes,
  index: number,
  count: number,
  path: Bytes[],
): Promise<Bytes> {
  let [at, last, root] = [index, count - 1, leaf];
  for (const node of path) {
    if (last === 0) {
      throw new Error("the path is too long");
    }
    if (at % 2 === 1 || at === last) {
      root = await sha256(concat(Uint8Array.of(1), node, root));
      while (at % 2 === 0 && at !== 0) {
        [at, last] = [at >> 1, last >> 1];
      }
    } else {
      root = await sha256(concat(Uint8Array.of(1), root, node));
    }
    [at, last] = [at >> 1, last >> 1];
  }
  if (last !== 0 || index >= count) {
    throw new Error("the path is too short");
  }
  return root;
}

function contextHash(bundle: NonNullable<Evidence["bundle"]>): Promise<Bytes> {
  const end = (of: typeof bundle.consumer) => [
    uuid(of.party_id),
    uuid(of.endpoint_id),
    fromBase64(of.incarnation_key),
  ];
  return hash(
    "armour/2 context",
    Uint8Array.of(VERSION),
    Uint8Array.of(bundle.suite),
    uuid(bundle.tenant_id),
    uuid(bundle.pair_id),
    uuid(bundle.bundle_id),
    number(bundle.draw, 8),
    fromBase64(bundle.policy_hash),
    ...end(bundle.consumer),
    ...end(bundle.producer),
  );
}

function bodyAt(bodies: Bytes[], kind: number, n: number, k: number): Bytes | undefined {
  return bodies.find(
    (body) =>
      body[2] === kind &&
      readNumber(body.subarray(21, 29)) === n &&
      readNumber(body.subarray(29, 33)) === k,
  );
}

/** Fields, each after its length. */
function join(label: string, ...fields: Uint8Array[]): Bytes {
  const all = [new TextEncoder().encode(label), ...fields];
  return concat(...all.flatMap((field) => [number(field.length, 4), field]));
}

function hash(label: string, ...fields: Uint8Array[]): Promise<Bytes> {
  return sha256(join(label, ...fields));
}

function uuid(text: string): Bytes {
  const hex = text.replaceAll("-", "");
  return Uint8Array.from({ length: 16 }, (_, at) => parseInt(hex.slice(2 * at, 2 * at + 2), 16));
}

/** A number in big-endian bytes. */
function number(value: number, length: number): Bytes {
  const bytes = new Uint8Array(length);
  for (let at = length - 1, left = value; at >= 0; at--, left = Math.floor(left / 256)) {
    bytes[at] = left % 256;
  }
  return bytes;
}

function readNumber(bytes: Uint8Array): number {
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}

class Reader {
  #at = 0;

  constructor(private readonly bytes: Bytes) {}

  get left(): number {
    return this.bytes.length - this.#at;
  }

  take(length: number): Bytes {
    if (length > this.left) {
      throw new Error("too short");
    }
    this.#at += length;
    return this.bytes.slice(this.#at - length, this.#at);
  }

  number(length: number): number {
    return readNumber(this.take(length));
  }

  rest(): Bytes {
    return this.take(this.left);
  }
}
