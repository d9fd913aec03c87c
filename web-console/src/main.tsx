import "@mantine/core/styles.css";
import "./style.css";

import { MantineProvider, createTheme } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { setNonce } from "get-nonce";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { ApiError } from "./api/client";
import { App } from "./routes/App";

const theme = createTheme({
  primaryColor: "indigo",
  // For a contrast of 4.5:1 on filled and light components (WCAG 2.2, 1.4.3).
  primaryShade: { light: 8, dark: 9 },
  autoContrast: true,
  fontFamily: "system-ui, sans-serif",
  cursorType: "pointer",
  respectReducedMotion: true,
});

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      // A refused request would be refused again; a failed one may succeed.
      retry: (failures, error) => !(error instanceof ApiError) && failures < 3,
    },
  },
});

/** The nonce of this page's content security policy, for styles that components create. */
function nonce(): string {
  return document.querySelector('meta[name="armour-nonce"]')?.getAttribute("content") ?? "";
}

// The scroll lock behind dialogs creates its own style element.
setNonce(nonce());

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <MantineProvider theme={theme} defaultColorScheme="auto" getStyleNonce={nonce}>
        <QueryClientProvider client={queries}>
          <App />
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
}
