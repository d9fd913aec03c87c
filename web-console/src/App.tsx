import { useCallback, useMemo, useState } from "react";

import { connect } from "./api/client";
import { Overview } from "./pages/Overview";
import { SignIn } from "./pages/SignIn";

const KEPT = "armour-token";

/** Signed in with an operator's token, which this tab alone keeps. */
export function App() {
  const [token, setToken] = useState(() => sessionStorage.getItem(KEPT) ?? "");
  const [refused, setRefused] = useState(false);

  const signIn = useCallback((given: string) => {
    sessionStorage.setItem(KEPT, given);
    setRefused(false);
    setToken(given);
  }, []);
  const signOut = useCallback(() => {
    sessionStorage.removeItem(KEPT);
    setToken("");
  }, []);
  const onRefused = useCallback(() => {
    setRefused(true);
    signOut();
  }, [signOut]);

  const api = useMemo(() => connect(token), [token]);
  if (token === "") {
    return <SignIn signIn={signIn} refused={refused} />;
  }
  return <Overview api={api} token={token} signOut={signOut} refused={onRefused} />;
}
