import { Loader, Center } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { useCallback, useEffect, useState } from "react";

import { Refused, answer } from "../api/client";
import { type SignedIn, forget, resume } from "../api/auth";
import { MeProvider } from "../api/me";
import { SignIn } from "../features/sign-in/SignIn";
import { router } from "./router";
import { t } from "../lib/strings";

/** Signed in, by a session or an API token, or on the way there. */
export function App() {
  const [me, setMe] = useState<SignedIn>();
  const [asking, setAsking] = useState(true);
  const [said, setSaid] = useState("");
  const queries = useQueryClient();

  useEffect(() => {
    resume()
      .then(setMe)
      .catch((error: unknown) => {
        // Nobody is signed in, or no longer: nothing to tell.
        if (!(error instanceof Refused && error.status === 401)) {
          setSaid(error instanceof Error ? error.message : String(error));
        }
        forget();
      })
      .finally(() => setAsking(false));
  }, []);

  const leave = useCallback(
    (why: string) => {
      forget();
      // Nothing of one person is shown to the next.
      queries.clear();
      setSaid(why);
      setMe(undefined);
    },
    [queries],
  );
  // Whatever call is told that nobody is signed in ends the page.
  useEffect(() => {
    const watch = queries.getQueryCache().subscribe((event) => {
      const error: unknown = event.query.state.error;
      if (event.type === "updated" && error instanceof Refused && error.status === 401) {
        leave(t.noLonger);
      }
    });
    return watch;
  }, [queries, leave]);

  const signOut = useCallback(async () => {
    if (me?.credentials.kind !== "session") {
      leave("");
      return;
    }
    try {
      const { redirect } = await answer(me.api.POST("/v1/logout"));
      if (redirect) {
        // The issuer's own session ends there.
        window.location.assign(redirect);
        return;
      }
      leave(t.signedOut);
    } catch (error) {
      leave(error instanceof Error ? error.message : String(error));
    }
  }, [me, leave]);

  if (asking) {
    return (
      <Center h="100vh">
        <Loader aria-label={t.loading} />
      </Center>
    );
  }
  if (me === undefined) {
    return <SignIn signedIn={setMe} said={said} />;
  }
  return (
    <MeProvider value={me}>
      <RouterProvider router={router} context={{ signOut: () => void signOut() }} />
    </MeProvider>
  );
}
