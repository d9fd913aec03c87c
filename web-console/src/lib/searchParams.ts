/** A search parameter that is a text with something in it. */
export function textParam(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
