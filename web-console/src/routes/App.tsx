import { Center, Loader } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { useCallback, useEffect, useState } from "react";

import { AuthProvider } from "../api/AuthContext";
import { ApiError, unwrap } from "../api/client";
import { type Auth, forgetToken, restoreAuth } from "../api/credentials";
import { SignInPage } from "../features/sign-in/SignInPage";
import { isWebAddress } from "../lib/isWebAddress";
import { t } from "../lib/strings";
import { router } from "./router";

/** The pages for whoever is signed in, or the sign-in page. */
export function App() {
  const [auth, setAuth] = useState<Auth>();
  const [isRestoring, setRestoring] = useState(true);
  const [message, setMessage] = useState("");
  const queries = useQueryClient();

  useEffect(() => {
    restoreAuth()
      .then(setAuth)
      .catch((error: unknown) => {
        // Without a session, or after it has expired, there is nothing to report.
        if (!(error instanceof ApiError && error.status === 401)) {
          setMessage(error instanceof Error ? error.message : String(error));
        }
        forgetToken();
      })
      .finally(() => setRestoring(false));
  }, []);

  const showSignIn = useCallback(
    (reason: string) => {
      forgetToken();
      // The next person must not see this one's data.
      queries.clear();
      setMessage(reason);
      setAuth(undefined);
    },
    [queries],
  );
  // Any query that is refused as unauthenticated leads back to the sign-in page.
  useEffect(
    () =>
      queries.getQueryCache().subscribe((event) => {
        const error: unknown = event.query.state.error;
        if (event.type === "updated" && error instanceof ApiError && error.status === 401) {
          showSignIn(t.sessionEnded);
        }
      }),
    [queries, showSignIn],
  );

  const signOut = useCallback(async () => {
    if (auth?.credentials.kind !== "session") {
      showSignIn("");
      return;
    }
    try {
      const { redirect } = await unwrap(auth.api.POST("/v1/logout"));
      if (redirect && isWebAddress(redirect)) {
        // There the issuer ends its own session.
        window.location.assign(redirect);
        return;
      }
      showSignIn(t.signedOut);
    } catch (error) {
      showSignIn(error instanceof Error ? error.message : String(error));
    }
  }, [auth, showSignIn]);

  if (isRestoring) {
    return (
      <Center h="100vh">
        <Loader aria-label={t.loading} />
      </Center>
    );
  }
  if (auth === undefined) {
    return <SignInPage onSignedIn={setAuth} message={message} />;
  }
  return (
    <AuthProvider value={auth}>
      <RouterProvider router={router} context={{ signOut: () => void signOut() }} />
    </AuthProvider>
  );
}
