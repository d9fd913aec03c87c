import { defineConfig } from "vite";

export default defineConfig({
  build: {
    // The content security policy allows no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      onwarn(warning, warn) {
        // "use client" matters for server rendering only.
        if (warning.code !== "MODULE_LEVEL_DIRECTIVE") {
          warn(warning);
        }
      },
    },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:7100" } },
});
