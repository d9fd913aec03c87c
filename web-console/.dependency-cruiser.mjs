// What may import what in the console; `npm run imports` checks it.

/** The folders of src/. Each imports from those before it and from itself. */
const LAYERS = ["lib", "api", "live", "components", "features", "routes"];

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    {
      name: "no-circle",
      comment: "Files that import each other cannot be read, tested or split apart.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    ...LAYERS.slice(0, -1).map((layer, index) => ({
      name: `${layer}-imports-nothing-above-it`,
      comment: `Imports run down: ${LAYERS.toReversed().join(", ")}.`,
      severity: "error",
      from: { path: `^src/${layer}/` },
      to: { path: `^src/(${LAYERS.slice(index + 1).join("|")})/` },
    })),
    {
      name: "every-folder-is-a-layer",
      comment: "A new folder of src/ needs its place in LAYERS.",
      severity: "error",
      from: {},
      to: { path: "^src/[^/]+/", pathNot: `^src/(${LAYERS.join("|")})/` },
    },
    {
      name: "features-stand-apart",
      comment: "What two features share belongs in components/, api/ or lib/.",
      severity: "error",
      from: { path: "^src/features/([^/]+)/" },
      to: { path: "^src/features/", pathNot: "^src/features/$1/" },
    },
    {
      name: "one-api-client",
      comment: "Calls go through the client in api/, typed by the OpenAPI document.",
      severity: "error",
      from: { pathNot: "^src/api/client\\.ts$" },
      to: { path: "^(src/api/schema\\.d\\.ts$|node_modules/openapi-fetch/)" },
    },
    {
      name: "no-test-code",
      comment: "The console is built from src/ and packages alone.",
      severity: "error",
      from: { path: "^src/" },
      to: { pathNot: "^(src|node_modules)/", couldNotResolve: false },
    },
    {
      name: "no-missing-file",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "no-dead-file",
      comment: "Nothing imports it.",
      severity: "error",
      from: { path: "^src/main\\.tsx$" },
      to: { reachable: false, path: "^src/", pathNot: "\\.d\\.ts$" },
    },
  ],
  options: {
    // Imports of types count: they too tie one file to another.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { conditionNames: ["import", "types", "browser", "default"] },
  },
};
