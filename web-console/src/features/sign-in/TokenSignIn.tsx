import { Anchor, Button, Stack, TextInput } from "@mantine/core";
import { useInputState } from "@mantine/hooks";
import { type FormEvent, useState } from "react";

import { ApiError } from "../../api/client";
import { type Auth, signInWithToken } from "../../api/credentials";
import { t } from "../../lib/strings";

/** A link that opens the form to sign in with an API token. */
export function TokenSignIn(props: { onSignedIn: (auth: Auth) => void }) {
  const [isOpen, setOpen] = useState(false);
  const [token, setToken] = useInputState("");
  const [error, setError] = useState("");
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (token.trim() === "") {
      return;
    }
    try {
      props.onSignedIn(await signInWithToken(token.trim()));
    } catch (failure) {
      const isRefused = failure instanceof ApiError && [401, 403].includes(failure.status);
      setError(isRefused ? t.signIn.refused : String(failure));
    }
  };
  if (!isOpen) {
    return (
      <Anchor component="button" type="button" onClick={() => setOpen(true)}>
        {t.signIn.withToken}
      </Anchor>
    );
  }
  return (
    <form onSubmit={(event) => void submit(event)}>
      <Stack>
        <TextInput
          label={t.signIn.token}
          description={t.signIn.tokenHint}
          type="password"
          autoComplete="off"
          error={error ? <span role="alert">{error}</span> : undefined}
          value={token}
          onChange={setToken}
          autoFocus
        />
        <Button type="submit" variant="default">
          {t.signIn.submit}
        </Button>
      </Stack>
    </form>
  );
}
