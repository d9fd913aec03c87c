/** The cipher suites to choose from. */
export const SUITES = [
  { value: "1", label: "1: X25519" },
  { value: "2", label: "2: X25519 + ML-KEM-768" },
];
