/**
 * Verifies the audit log's Merkle tree (RFC 9162, section 2.1). It is written from
 * `docs/audit.md` alone, independently of the control plane's code.
 */
import type { AuditEntry, SignedHead } from "../../api/client";
import { concat, fromBase64, isSigned, sameBytes, sha256 } from "../../lib/crypto";
import { bigEndian, microseconds, uuidBytes } from "./encoding";

type Bytes = Uint8Array<ArrayBuffer>;

/** Whether the log's key signed a tree head. */
export async function isHeadSigned(key: string, head: SignedHead): Promise<boolean> {
  // Heads from before logs had a map of endpoints' states do not hold its root.
  const version = head.map_root ? 2 : 1;
  const message = concat(
    new TextEncoder().encode(`armour/${version} tree head`),
    uuidBytes(head.tenant_id),
    bigEndian(head.size),
    bigEndian(microseconds(head.at)),
    fromBase64(head.root),
    fromBase64(head.map_root ?? ""),
  );
  return isSigned(key, message, fromBase64(head.signature));
}

/** Whether a leaf is in the tree with this root (section 2.1.3.2). */
export async function isIncluded(
  hash: Bytes,
  index: number,
  size: number,
  proof: string[],
  root: string,
): Promise<boolean> {
  let [node, last, current] = [index, size - 1, hash];
  for (const step of proof.map(fromBase64)) {
    if (last === 0) {
      return false;
    }
    if (node % 2 === 1 || node === last) {
      current = await parentHash(step, current);
      while (node % 2 === 0 && node !== 0) {
        [node, last] = parent(node, last);
      }
    } else {
      current = await parentHash(current, step);
    }
    [node, last] = parent(node, last);
  }
  return last === 0 && sameBytes(current, fromBase64(root));
}

/** Whether a tree extends an earlier one (section 2.1.4.2). */
export async function isConsistent(
  first: number,
  firstRoot: string,
  size: number,
  root: string,
  proof: string[],
): Promise<boolean> {
  if (first === size) {
    return firstRoot === root && proof.length === 0;
  }
  const steps = proof.map(fromBase64);
  const isComplete = Number.isInteger(Math.log2(first));
  const seed = isComplete ? fromBase64(firstRoot) : steps.shift();
  if (seed === undefined) {
    return false;
  }
  let [node, last] = [first - 1, size - 1];
  while (node % 2 === 1) {
    [node, last] = parent(node, last);
  }
  let [earlier, current]: [Bytes, Bytes] = [seed, seed];
  for (const step of steps) {
    if (last === 0) {
      return false;
    }
    if (node % 2 === 1 || node === last) {
      earlier = await parentHash(step, earlier);
      current = await parentHash(step, current);
      while (node % 2 === 0 && node !== 0) {
        [node, last] = parent(node, last);
      }
    } else {
      current = await parentHash(current, step);
    }
    [node, last] = parent(node, last);
  }
  return (
    last === 0 && sameBytes(earlier, fromBase64(firstRoot)) && sameBytes(current, fromBase64(root))
  );
}

/** The hash of an entry as a leaf of a tenant's tree. */
export async function leafHash(tenant: string, entry: AuditEntry): Promise<Bytes> {
  const { seq, created_at, actor, action, target, detail } = entry;
  const text = canonicalJson({
    tenant_id: tenant,
    seq,
    created_at,
    actor,
    action,
    target,
    detail: detail ?? null,
  });
  return sha256(concat(Uint8Array.of(0), new TextEncoder().encode(text)));
}

/** A node's index one level up, and that level's last index. */
function parent(node: number, last: number): [number, number] {
  return [Math.floor(node / 2), Math.floor(last / 2)];
}

function parentHash(left: Bytes, right: Bytes): Promise<Bytes> {
  return sha256(concat(Uint8Array.of(1), left, right));
}

/** A parsed JSON value in its canonical form (RFC 8785). */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) {
    return `[${value.map(canonicalJson).join(",")}]`;
  }
  if (value !== null && typeof value === "object") {
    // Sorted by UTF-16 code units, as JavaScript compares strings.
    const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return `{${fields.map(([key, inner]) => `${JSON.stringify(key)}:${canonicalJson(inner)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}
