/** `new-key`, `seal KEY-FILE`, `open KEY-FILE`, from standard input to standard output. */
import { readFile } from "node:fs/promises";
import { Readable, Writable } from "node:stream";

import { Key } from "../src/at-rest.js";

const [verb, file] = process.argv.slice(2);
if (verb === "new-key") {
  process.stdout.write((await Key.generate()).secret());
} else {
  const key = new Key(await readFile(file ?? "", "utf8"));
  const from = Readable.toWeb(process.stdin) as ReadableStream<Uint8Array>;
  const done = verb === "seal" ? await key.sealStream(from) : await key.openStream(from);
  await done.pipeTo(Writable.toWeb(process.stdout) as WritableStream<Uint8Array>);
}
