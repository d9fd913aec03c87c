import { Button, Stack, Text, TextInput } from "@mantine/core";
import { useEffect, useState } from "react";

import { ApiError, type SignInChoice, createApi, unwrap } from "../../api/client";
import { saveTenant, savedTenant } from "../../api/credentials";
import { t } from "../../lib/strings";

/** Asks for the tenant, then offers a button for each of its issuers. */
export function IssuerSignIn() {
  const [tenant, setTenant] = useState(savedTenant);
  const [choices, setChoices] = useState<SignInChoice[]>();
  const [error, setError] = useState("");

  const loadChoices = async (id: string) => {
    setError("");
    try {
      const query = { tenant: id };
      setChoices(await unwrap(createApi({}).GET("/v1/auth/choices", { params: { query } })));
      saveTenant(id);
    } catch (failure) {
      setChoices(undefined);
      setError(failure instanceof ApiError ? t.signIn.unknownTenant : String(failure));
    }
  };
  useEffect(() => {
    const saved = savedTenant();
    if (saved !== "") {
      void loadChoices(saved);
    }
  }, []);

  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void loadChoices(tenant.trim());
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
          <Text>{t.signIn.noIssuers}</Text>
        ) : (
          choices.map((choice) => (
            <Button
              key={choice.issuer_id}
              component="a"
              href={loginAddress(tenant.trim(), choice.issuer_id)}
            >
              {t.signIn.with(choice.name)}
            </Button>
          ))
        )}
      </Stack>
    </form>
  );
}

/** The address that redirects the browser to the issuer. */
function loginAddress(tenant: string, issuer: string): string {
  return `/v1/auth/login?${new URLSearchParams({ tenant, issuer }).toString()}`;
}
