import config from "./playwright.config";

/** Measured by hand on a quiet machine, never in the test suite. */
export default { ...config, testDir: "e2e-load" };
