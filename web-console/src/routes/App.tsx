import { Loader, Center } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { useCallback, useEffect, useState } from "react";

import { ApiError, unwrap } from "../api/client";
import { type Auth, forgetToken, restoreAuth } from "../api/credentials";
import { AuthProvider } from "../api/AuthContext";
import { SignInPage } from "../features/sign-in/SignInPage";
import { router } from "./router";
import { t } from "../lib/strings";

/** Signed in, by a session or an API token, or on the way there. */
export function App() {
  const [auth, setAuth] = useState<Auth>();
  const [asking, setAsking] = useState(true);
  const [said, setSaid] = useState("");
  const queries = useQueryClient();

  useEffect(() => {
    restoreAuth()
      .then(setAuth)
      .catch((error: unknown) => {
        // Nobody is signed in, or no longer: nothing to tell.
        if (!(error instanceof ApiError && error.status === 401)) {
          setSaid(error instanceof Error ? error.message : String(error));
        }
        forgetToken();
      })
      .finally(() => setAsking(false));
  }, []);

  const leave = useCallback(
    (why: string) => {
      forgetToken();
      // Nothing of one person is shown to the next.
      queries.clear();
      setSaid(why);
      setAuth(undefined);
    },
    [queries],
  );
  // Whatever call is told that nobody is signed in ends the page.
  useEffect(() => {
    const watch = queries.getQueryCache().subscribe((event) => {
      const error: unknown = event.query.state.error;
      if (event.type === "updated" && error instanceof ApiError && error.status === 401) {
        leave(t.noLonger);
      }
    });
    return watch;
  }, [queries, leave]);

  const signOut = useCallback(async () => {
    if (auth?.credentials.kind !== "session") {
      leave("");
      return;
    }
    try {
      const { redirect } = await unwrap(auth.api.POST("/v1/logout"));
      if (redirect) {
        // The issuer's own session ends there.
        window.location.assign(redirect);
        return;
      }
      leave(t.signedOut);
    } catch (error) {
      leave(error instanceof Error ? error.message : String(error));
    }
  }, [auth, leave]);

  if (asking) {
    return (
      <Center h="100vh">
        <Loader aria-label={t.loading} />
      </Center>
    );
  }
  if (auth === undefined) {
    return <SignInPage onSignedIn={setAuth} message={said} />;
  }
  return (
    <AuthProvider value={auth}>
      <RouterProvider router={router} context={{ signOut: () => void signOut() }} />
    </AuthProvider>
  );
}
