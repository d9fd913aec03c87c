import config from "./playwright.config";

/** Run by hand on a quiet machine; not part of the test suite. */
export default { ...config, testDir: "e2e-load" };
