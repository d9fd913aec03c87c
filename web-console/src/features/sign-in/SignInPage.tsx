import { Anchor, Button, Container, Divider, Stack, Text, TextInput, Title } from "@mantine/core";
import { type FormEvent, useEffect, useState } from "react";

import { ApiError, type SignInChoice, unwrap, createApi } from "../../api/client";
import { type Auth, savedTenant, saveTenant, signInWithToken } from "../../api/credentials";
import { ErrorAlert } from "../../components/ErrorAlert";
import { t } from "../../lib/strings";

export function SignInPage(props: { onSignedIn: (auth: Auth) => void; message: string }) {
  return (
    <Container component="main" size="xs" pt="12vh">
      <Stack gap="lg">
        <Title order={1}>{t.product}</Title>
        {props.message && <Text role="status">{props.message}</Text>}
        <ErrorAlert error={signInFailure()} />
        <IssuerSignIn />
        <Divider />
        <TokenSignIn onSignedIn={props.onSignedIn} />
      </Stack>
    </Container>
  );
}

/** Why the control plane sent the browser back, if it did. */
function signInFailure(): string | undefined {
  const kind = new URLSearchParams(window.location.search).get("failed");
  return kind === null ? undefined : (t.signIn.failures[kind] ?? t.signIn.failed);
}

/** Sign in with one of the tenant's issuers. */
function IssuerSignIn() {
  const [tenant, setTenant] = useState(savedTenant);
  const [choices, setChoices] = useState<SignInChoice[]>();
  const [error, setError] = useState("");

  const look = async (id: string) => {
    setError("");
    try {
      const query = { tenant: id };
      setChoices(await unwrap(createApi({}).GET("/v1/auth/choices", { params: { query } })));
      saveTenant(id);
    } catch (failure) {
      setChoices(undefined);
      setError(failure instanceof ApiError ? t.signIn.notATenant : String(failure));
    }
  };
  useEffect(() => {
    const known = savedTenant();
    if (known !== "") {
      void look(known);
    }
  }, []);

  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void look(tenant.trim());
      }}
    >
      <Stack>
        <TextInput
          label={t.signIn.tenant}
          description={t.signIn.tenantHint}
          error={error || undefined}
          autoComplete="organization"
          value={tenant}
          onChange={(event) => {
            setTenant(event.currentTarget.value);
            setChoices(undefined);
          }}
        />
        {choices === undefined ? (
          <Button type="submit" variant="default">
            {t.signIn.continue}
          </Button>
        ) : choices.length === 0 ? (
          <Text>{t.signIn.nobody}</Text>
        ) : (
          choices.map((choice) => (
            <Button
              key={choice.issuer_id}
              component="a"
              href={`/v1/auth/login?${new URLSearchParams({
                tenant: tenant.trim(),
                issuer: choice.issuer_id,
              }).toString()}`}
            >
              {t.signIn.with(choice.name)}
            </Button>
          ))
        )}
      </Stack>
    </form>
  );
}

/** Or with an API token. */
function TokenSignIn(props: { onSignedIn: (auth: Auth) => void }) {
  const [shown, setShown] = useState(false);
  const [token, setToken] = useState("");
  const [error, setError] = useState("");
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (token.trim() === "") {
      return;
    }
    try {
      props.onSignedIn(await signInWithToken(token.trim()));
    } catch (failure) {
      const unknown = failure instanceof ApiError && [401, 403].includes(failure.status);
      setError(unknown ? t.signIn.unknown : String(failure));
    }
  };
  if (!shown) {
    return (
      <Anchor component="button" type="button" onClick={() => setShown(true)}>
        {t.signIn.withToken}
      </Anchor>
    );
  }
  return (
    <form onSubmit={(event) => void submit(event)}>
      <Stack>
        <TextInput
          label={t.signIn.token}
          description={t.signIn.dev}
          type="password"
          autoComplete="off"
          error={error ? <span role="alert">{error}</span> : undefined}
          value={token}
          onChange={(event) => setToken(event.currentTarget.value)}
          autoFocus
        />
        <Button type="submit" variant="default">
          {t.signIn.submit}
        </Button>
      </Stack>
    </form>
  );
}
