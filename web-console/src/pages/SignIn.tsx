import { type FormEvent, useState } from "react";

export function SignIn(props: { signIn: (token: string) => void; refused: boolean }) {
  const [token, setToken] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (token.trim() !== "") {
      props.signIn(token.trim());
    }
  };
  return (
    <main className="sign-in">
      <h1>Armour</h1>
      <form onSubmit={submit}>
        <label htmlFor="token">API token of an operator</label>
        <input
          id="token"
          type="password"
          autoComplete="off"
          value={token}
          onChange={(event) => setToken(event.target.value)}
        />
        <button type="submit">Sign in</button>
      </form>
      {props.refused && <p role="alert">The control plane does not know this token.</p>}
      <p className="hint">
        <code>armour dev</code> keeps one in the file <code>operator-token</code> of its data folder.
      </p>
    </main>
  );
}
