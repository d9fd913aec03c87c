import { type FormEvent, useEffect, useState } from "react";

import { Refused, type SignInChoice, answer, connect } from "../api/client";
import { type SignedIn, knownTenant, rememberTenant, withToken } from "../auth";

export function SignIn(props: { signedIn: (me: SignedIn) => void; said: string }) {
  return (
    <main className="sign-in">
      <h1>Armour</h1>
      {props.said && <p role="status">{props.said}</p>}
      <People />
      <Token signedIn={props.signedIn} />
    </main>
  );
}

/** Sign in with one of the tenant's issuers. */
function People() {
  const [tenant, setTenant] = useState(knownTenant);
  const [choices, setChoices] = useState<SignInChoice[]>();
  const [error, setError] = useState("");

  const look = async (id: string) => {
    setError("");
    try {
      const found = await answer(
        connect({}).GET("/v1/auth/choices", { params: { query: { tenant: id } } }),
      );
      rememberTenant(id);
      setChoices(found);
    } catch (failure) {
      setChoices(undefined);
      setError(failure instanceof Refused ? "This is not a tenant’s id." : String(failure));
    }
  };
  useEffect(() => {
    if (tenant !== "") {
      void look(tenant);
    }
    // Looked for once with what is known; later by the form.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);

  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void look(tenant.trim());
      }}
    >
      <label htmlFor="tenant">Tenant</label>
      <input
        id="tenant"
        autoComplete="organization"
        placeholder="00000000-0000-0000-0000-000000000000"
        value={tenant}
        onChange={(event) => {
          setTenant(event.target.value);
          setChoices(undefined);
        }}
      />
      {error && <p role="alert">{error}</p>}
      {choices === undefined ? (
        <button type="submit">Continue</button>
      ) : (
        choices.map((choice) => (
          <a
            key={choice.issuer_id}
            className="button primary"
            href={`/v1/auth/login?${new URLSearchParams({
              tenant: tenant.trim(),
              issuer: choice.issuer_id,
            }).toString()}`}
          >
            Sign in with {choice.name}
          </a>
        ))
      )}
      {choices?.length === 0 && <p>Nobody can sign in to this tenant.</p>}
    </form>
  );
}

/** Or with an API token. */
function Token(props: { signedIn: (me: SignedIn) => void }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState("");
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (token.trim() === "") {
      return;
    }
    try {
      props.signedIn(await withToken(token.trim()));
    } catch (failure) {
      const unknown = failure instanceof Refused && failure.status === 401;
      setError(unknown ? "The control plane does not know this token." : String(failure));
    }
  };
  return (
    <details>
      <summary>Sign in with an API token</summary>
      <form onSubmit={(event) => void submit(event)}>
        <label htmlFor="token">API token</label>
        <input
          id="token"
          type="password"
          autoComplete="off"
          value={token}
          onChange={(event) => setToken(event.target.value)}
        />
        <button type="submit">Sign in</button>
        {error && <p role="alert">{error}</p>}
        <p className="hint">
          <code>armour dev</code> keeps one in the file <code>operator-token</code> of its data
          folder.
        </p>
      </form>
    </details>
  );
}
