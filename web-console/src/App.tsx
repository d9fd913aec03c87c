import { useCallback, useEffect, useState } from "react";

import { Refused, answer } from "./api/client";
import { type SignedIn, forget, resume } from "./auth";
import { Overview } from "./pages/Overview";
import { SignIn } from "./pages/SignIn";

/** Signed in, by a session or an API token, or on the way there. */
export function App() {
  const [signedIn, setSignedIn] = useState<SignedIn>();
  const [asking, setAsking] = useState(true);
  const [said, setSaid] = useState("");

  useEffect(() => {
    resume()
      .then(setSignedIn)
      .catch((error: unknown) => {
        // Nobody is signed in, or no longer: nothing to tell.
        if (!(error instanceof Refused && error.status === 401)) {
          setSaid(error instanceof Error ? error.message : String(error));
        }
        forget();
      })
      .finally(() => setAsking(false));
  }, []);

  const leave = useCallback((why: string) => {
    forget();
    setSaid(why);
    setSignedIn(undefined);
  }, []);
  const refused = useCallback(() => leave("You are no longer signed in."), [leave]);
  const signOut = useCallback(async () => {
    if (signedIn?.credentials.kind !== "session") {
      leave("");
      return;
    }
    try {
      const { redirect } = await answer(signedIn.api.POST("/v1/logout"));
      if (redirect) {
        // The issuer's own session ends there.
        window.location.assign(redirect);
        return;
      }
      leave("You are signed out.");
    } catch (error) {
      leave(error instanceof Error ? error.message : String(error));
    }
  }, [signedIn, leave]);

  if (asking) {
    return <p className="hint">Loading…</p>;
  }
  if (signedIn === undefined) {
    return <SignIn signedIn={setSignedIn} said={said} />;
  }
  return <Overview me={signedIn} signOut={() => void signOut()} refused={refused} />;
}
