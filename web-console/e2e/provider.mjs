import { createServer } from "node:http";
import Provider from "oidc-provider";

// The provider uses what Debian 12's Node.js does not have yet.
URL.parse ??= (text, base) => {
  try {
    return new URL(text, base);
  } catch {
    return null;
  }
};

/** Who there is, and in which groups. */
const GROUPS = {
  "first-admin": ["staff", "armour-admins"],
  "second-auditor": ["armour-auditors"],
  outsider: ["staff"],
};

/**
 * Starts a certified OpenID provider. It asks for a login and any password on pages
 * of its own.
 */
export async function startProvider({ port, clientId, clientSecret, console, backChannel }) {
  const url = `http://127.0.0.1:${port}`;
  const provider = new Provider(url, {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [`${console}/v1/auth/callback`],
        post_logout_redirect_uris: [`${console}/`],
        grant_types: ["authorization_code"],
        response_types: ["code"],
        backchannel_logout_uri: backChannel,
        backchannel_logout_session_required: true,
      },
    ],
    cookies: { keys: ["a key of the tests"] },
    claims: { openid: ["sub"], profile: ["preferred_username"], groups: ["groups"] },
    // Group claims come in the ID token, as most providers can be set to.
    conformIdTokenClaims: false,
    features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true } },
    pkce: { required: () => true },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, groups: GROUPS[id] ?? [] }),
    }),
    // The provider tells nobody on this machine of a logout, and rightly so; here the
    // console is on this machine.
    fetch: (address, options) => fetch(address, { ...options, dispatcher: undefined }),
  });
  // Otherwise a logout that could not be delivered would be told to nobody.
  provider.on("backchannel.error", (_context, error) => globalThis.console.error(error));
  const server = createServer(provider.callback());
  await new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(undefined)));
  return { url, stop: () => new Promise((resolve) => server.close(() => resolve(undefined))) };
}
