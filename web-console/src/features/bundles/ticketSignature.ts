import { concat, fromBase64, isSigned } from "../../lib/crypto";

/** How many bytes of a signed ticket are signed; the rest is the signature. */
const TICKET_BYTES = 94;
const LABEL = new TextEncoder().encode("armour/1 ticket");

/** Whether a signed ticket (158 bytes, in base64) is signed with a consumer's key. */
export async function isTicketSigned(key: string, ticket: string): Promise<boolean> {
  const bytes = fromBase64(ticket);
  const message = concat(LABEL, bytes.slice(0, TICKET_BYTES));
  return isSigned(key, message, bytes.slice(TICKET_BYTES));
}
