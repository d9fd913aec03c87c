/** Whether a page may go there: an address of another scheme could be a stranger's script. */
export function isWebAddress(address: string): boolean {
  return /^https?:\/\//i.test(address);
}
