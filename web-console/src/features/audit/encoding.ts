/** Numbers, times and ids as the audit log's signatures cover them (`docs/audit.md`). */

type Bytes = Uint8Array<ArrayBuffer>;

/** A number in 8 bytes. */
export function bigEndian(value: number | bigint): Bytes {
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setBigUint64(0, BigInt(value));
  return new Uint8Array(bytes.buffer);
}

/** An RFC 3339 time in microseconds since 1970; `Date` would keep milliseconds only. */
export function microseconds(at: string): bigint {
  const fraction = /\.(\d{1,6})/.exec(at)?.[1] ?? "";
  const seconds = Math.floor(Date.parse(at) / 1000);
  return BigInt(seconds) * 1_000_000n + BigInt(fraction.padEnd(6, "0"));
}

/** A UUID in 16 bytes. */
export function uuidBytes(text: string): Bytes {
  const pairs = text.replaceAll("-", "").match(/../g) ?? [];
  return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16));
}
