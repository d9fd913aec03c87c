import { defineConfig } from "vite";

export default defineConfig({
  // The content security policy allows no inline script or style.
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: { "/v1": "http://127.0.0.1:7100" } },
});
