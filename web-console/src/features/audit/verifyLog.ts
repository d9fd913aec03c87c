import { type Api, type AuditEntry, unwrap } from "../../api/client";
import { t } from "../../lib/strings";
import { areKeysLinked } from "./keyChain";
import { isConsistent, isHeadSigned, isIncluded, leafHash } from "./merkleTree";

/** What a verified log has. */
export interface VerifiedLog {
  /** How many entries. */
  size: number;
  /** The key that signs it, in base64. */
  key: string;
  /** How often that key was replaced. */
  rotations: number;
}

/**
 * Verifies that the log's latest tree head is signed and consistent with the first one, and
 * that each of its keys was followed by the next.
 */
export async function verifyLog(api: Api): Promise<VerifiedLog> {
  const log = await unwrap(api.GET("/v1/audit/head"));
  const { log_key, head } = log;
  const proof = await unwrap(
    api.GET("/v1/audit/consistency", { params: { query: { first: 1, size: head.size } } }),
  );
  const isValid =
    (await areKeysLinked(log)) &&
    (await isHeadSigned(log_key, head)) &&
    proof.root === head.root &&
    (await isConsistent(1, proof.first_root, head.size, head.root, proof.consistency));
  if (!isValid) {
    throw new Error(t.audit.notVerified);
  }
  return { size: head.size, key: log_key, rotations: log.rotations.length };
}

/** An entry, and whether it is in the tree of the latest signed head. */
export async function fetchProvenEntry(
  api: Api,
  tenant: string,
  seq: number,
): Promise<{ entry: AuditEntry; isProven: boolean }> {
  const { log_key, head } = await unwrap(api.GET("/v1/audit/head"));
  const { entry, inclusion } = await unwrap(
    api.GET("/v1/audit/{seq}/proof", { params: { path: { seq }, query: { size: head.size } } }),
  );
  const hash = await leafHash(tenant, entry);
  const isProven =
    (await isHeadSigned(log_key, head)) &&
    (await isIncluded(hash, seq - 1, head.size, inclusion, head.root));
  return { entry, isProven };
}
