/**
 * Payloads at rest: what an application stores on a device is sealed with a key that it
 * keeps in the system's key store (docs/at-rest.md).
 *
 * The format is age (https://age-encryption.org/v1), X25519 recipients; the library is
 * `age-encryption`, and nothing of the cryptography is ours. The libraries for Rust and Python
 * open what this seals, and so does the `age` command.
 */
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption";

/**
 * Why something could not be opened: it is no key, or it was sealed with another one, or was
 * changed or cut off since.
 */
export class AtRestError extends Error {
  override readonly name = "AtRestError";
}

/** The key of payloads at rest; it is never printed. JavaScript cannot wipe it from memory. */
export class Key {
  readonly #secret: string;

  /**
   * The key of a secret that the key store gave back.
   * @throws {@link AtRestError} if it is none.
   */
  constructor(secret: string) {
    const text = secret.trim();
    try {
      // The library takes keys of other kinds, too, which the others do not.
      if (!text.startsWith("AGE-SECRET-KEY-1")) throw new Error("another kind");
      new Decrypter().addIdentity(text);
    } catch {
      // Without its cause, which may quote the secret.
      throw new AtRestError("this is not a key: AGE-SECRET-KEY-1 and 58 characters are");
    }
    this.#secret = text;
  }

  /** Makes a key. Put its {@link secret} into the key store before anything is sealed. */
  static async generate(): Promise<Key> {
    return new Key(await generateX25519Identity());
  }

  /** What the key store keeps: `AGE-SECRET-KEY-1…`, 74 characters. Nobody else should see it. */
  secret(): string {
    return this.#secret;
  }

  /** Seals bytes as an age file, some 200 bytes longer. */
  async seal(payload: Uint8Array): Promise<Uint8Array> {
    return (await this.#encrypter()).encrypt(payload);
  }

  /** Opens an age file. */
  async open(sealed: Uint8Array): Promise<Uint8Array> {
    try {
      return await this.#decrypter().decrypt(sealed);
    } catch (why) {
      throw doesNotOpen(why);
    }
  }

  /** Seals a stream as an age file, however long. */
  async sealStream(payload: ReadableStream<Uint8Array>): Promise<ReadableStream<Uint8Array>> {
    return (await this.#encrypter()).encrypt(payload);
  }

  /**
   * Opens a stream. Each 64 KiB are genuine as they come, but only its end says that none are
   * missing, where it would fail: use none before it.
   */
  async openStream(sealed: ReadableStream<Uint8Array>): Promise<ReadableStream<Uint8Array>> {
    try {
      return checked(await this.#decrypter().decrypt(sealed));
    } catch (why) {
      throw doesNotOpen(why);
    }
  }

  toString(): string {
    return "Key(…)";
  }

  toJSON(): never {
    throw new TypeError("a key is not written as JSON: keep its secret() in the key store");
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  async #encrypter(): Promise<Encrypter> {
    const encrypter = new Encrypter();
    encrypter.addRecipient(await identityToRecipient(this.#secret));
    return encrypter;
  }

  #decrypter(): Decrypter {
    const decrypter = new Decrypter();
    decrypter.addIdentity(this.#secret);
    return decrypter;
  }
}

/** The same stream; where it fails, it says so as {@link AtRestError}. */
function checked(opened: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = opened.getReader();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (why) {
        controller.error(doesNotOpen(why));
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

function doesNotOpen(cause: unknown): AtRestError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new AtRestError(`it does not open with this key: ${why}`, { cause });
}
