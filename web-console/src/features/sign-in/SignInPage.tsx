import { Container, Divider, Stack, Text, Title } from "@mantine/core";

import type { Auth } from "../../api/credentials";
import { ErrorAlert } from "../../components/ErrorAlert";
import { t } from "../../lib/strings";
import { IssuerSignIn } from "./IssuerSignIn";
import { TokenSignIn } from "./TokenSignIn";

export function SignInPage(props: {
  /** Why the last session ended; empty at the first visit. */
  message: string;
  onSignedIn: (auth: Auth) => void;
}) {
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

/** Why the control plane sent the browser back here, if it did. */
function signInFailure(): string | undefined {
  const kind = new URLSearchParams(window.location.search).get("failed");
  return kind === null ? undefined : (t.signIn.failures[kind] ?? t.signIn.failed);
}
