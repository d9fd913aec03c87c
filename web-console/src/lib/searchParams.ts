/** A search parameter, if it is a text that is not empty. */
export function textParam(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
