import { concat, fromBase64, isSigned } from "../../lib/crypto";

/** The length of a ticket; the bytes after it are its signature. */
const TICKET_BYTES = 94;
const LABEL = new TextEncoder().encode("armour/1 ticket");

/** Whether a consumer's key signed a ticket (158 bytes with the signature, in base64). */
export async function isTicketSigned(key: string, ticket: string): Promise<boolean> {
  const bytes = fromBase64(ticket);
  const message = concat(LABEL, bytes.slice(0, TICKET_BYTES));
  return isSigned(key, message, bytes.slice(TICKET_BYTES));
}
