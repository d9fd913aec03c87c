import "@mantine/core/styles.css";
import "./style.css";

import { MantineProvider, createTheme } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { setNonce } from "get-nonce";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./routes/App";
import { ApiError } from "./api/client";

const theme = createTheme({
  primaryColor: "indigo",
  // Contrast of 4.5 to 1 for text on filled and light components (WCAG 2.2, 1.4.3).
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
      // What was refused is refused again; what failed may pass.
      retry: (failures, error) => !(error instanceof ApiError) && failures < 3,
    },
  },
});

/** The nonce of this answer, for the styles that components make. */
function nonce(): string {
  return document.querySelector('meta[name="armour-nonce"]')?.getAttribute("content") ?? "";
}

// What keeps the page still behind a dialog makes a style of its own.
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
