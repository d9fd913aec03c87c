/**
 * Verifies how one key of the audit log followed another. It is written from
 * `docs/audit.md` alone, independently of the control plane's code.
 */
import type { LogHead, LogKeyRotation } from "../../api/client";
import { concat, fromBase64, isSigned } from "../../lib/crypto";
import { bigEndian, microseconds, uuidBytes } from "./encoding";

/** Whether the rotations lead from one key to the next, and the last of them to the log's key. */
export async function areKeysLinked(log: LogHead): Promise<boolean> {
  let key = log.rotations[0]?.old_key ?? log.log_key;
  for (const [index, rotation] of log.rotations.entries()) {
    const isNext = rotation.number === index + 1 && rotation.old_key === key;
    const isOwn = rotation.tenant_id === log.head.tenant_id && rotation.size < log.head.size;
    if (!isNext || !isOwn || !(await isRotationSigned(rotation))) {
      return false;
    }
    key = rotation.new_key;
  }
  return key === log.log_key;
}

/** Whether both keys signed a rotation. */
async function isRotationSigned(rotation: LogKeyRotation): Promise<boolean> {
  const message = concat(
    new TextEncoder().encode("armour/2 log key rotation"),
    uuidBytes(rotation.tenant_id),
    bigEndian(rotation.number),
    bigEndian(rotation.size),
    bigEndian(microseconds(rotation.at)),
    fromBase64(rotation.old_key),
    fromBase64(rotation.new_key),
  );
  return (
    (await isSigned(rotation.old_key, message, fromBase64(rotation.old_signature))) &&
    (await isSigned(rotation.new_key, message, fromBase64(rotation.new_signature)))
  );
}
