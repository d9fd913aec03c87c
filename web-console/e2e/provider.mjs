import { createServer } from "node:http";
import Provider from "oidc-provider";

// The provider uses `URL.parse`, which Node.js 20 does not have.
URL.parse ??= (text, base) => {
  try {
    return new URL(text, base);
  } catch {
    return null;
  }
};

/** The people, and their groups. */
const GROUPS = {
  "first-admin": ["staff", "armour-admins"],
  "second-auditor": ["armour-auditors"],
  outsider: ["staff"],
};

/**
 * Starts a certified OpenID provider. It asks for a login and any password on its own
 * pages.
 */
export async function startProvider({
  port,
  clientId,
  clientSecret,
  console,
  callback,
  backChannel,
}) {
  const url = `http://127.0.0.1:${port}`;
  const provider = new Provider(url, {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [callback],
        post_logout_redirect_uris: [`${console}/`],
        grant_types: ["authorization_code"],
        response_types: ["code"],
        backchannel_logout_uri: backChannel,
        backchannel_logout_session_required: true,
      },
    ],
    cookies: { keys: ["a key of the tests"] },
    claims: { openid: ["sub"], profile: ["preferred_username"], groups: ["groups"] },
    // Group claims are in the ID token, as most providers can be configured.
    conformIdTokenClaims: false,
    features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true } },
    pkce: { required: () => true },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, groups: GROUPS[id] ?? [] }),
    }),
    // By default the provider sends no back-channel logout to a local address; here the
    // console has one.
    fetch: (address, options) => fetch(address, { ...options, dispatcher: undefined }),
  });
  // Otherwise a failed back-channel logout would go unnoticed.
  provider.on("backchannel.error", (_context, error) => globalThis.console.error(error));
  const server = createServer(provider.callback());
  await new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(undefined)));
  return { url, stop: () => new Promise((resolve) => server.close(() => resolve(undefined))) };
}
