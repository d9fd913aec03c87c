import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

const HOME = resolve("../target/keycloak");
const PORT = 7392;
const MANAGEMENT_PORT = 7393;
const SERVER = `http://127.0.0.1:${PORT}`;
const REALM = "people";
/** The client that the console signs in with. */
export const CLIENT = "armour";
/** What Keycloak's realm calls itself. */
export const ISSUER = `${SERVER}/realms/${REALM}`;
/** The password of everybody in the realm. */
export const PASSWORD = "correct horse battery staple";
/** Keycloak starts in some 40 s on two cores that have nothing else to do. */
const STARTS_WITHIN_MS = 280_000;

/** Whether `make keycloak` was run. */
export const isInstalled = existsSync(join(HOME, ".version"));

/** Where realm roles come: by its default client scopes, in the access token alone. */
export type Roles = "default" | "id-token" | "userinfo";

/** A Keycloak of this test's own, whose data is in its memory. */
export class Keycloak {
  private token = "";
  private readonly server: ChildProcess;
  private readonly password = randomBytes(16).toString("hex");

  constructor() {
    const options = ["--http-host=127.0.0.1", `--http-port=${PORT}`, "--cache=local"];
    const management = [`--http-management-port=${MANAGEMENT_PORT}`];
    const start = ["start-dev", "--db=dev-mem", ...options, ...management];
    this.server = spawn(join(HOME, "bin/kc.sh"), start, {
      detached: true,
      stdio: ["ignore", "ignore", "inherit"],
      env: {
        ...process.env,
        KC_BOOTSTRAP_ADMIN_USERNAME: "admin",
        KC_BOOTSTRAP_ADMIN_PASSWORD: this.password,
      },
    });
  }

  /** Waits until it answers, and makes a realm of two people with a role each. */
  async begin(clientSecret: string, redirectUri: string, console: string, backChannel: string) {
    await this.signIn();
    await this.admin("POST", "", {
      realm: REALM,
      enabled: true,
      roles: { realm: [{ name: "armour-admins" }, { name: "armour-auditors" }] },
      users: [user("ada", "armour-admins"), user("grace", "armour-auditors")],
      clients: [
        {
          clientId: CLIENT,
          secret: clientSecret,
          redirectUris: [redirectUri],
          standardFlowEnabled: true,
          frontchannelLogout: false,
          attributes: {
            "post.logout.redirect.uris": `${console}/`,
            "backchannel.logout.url": backChannel,
            "backchannel.logout.session.required": "true",
          },
        },
      ],
    });
  }

  stop() {
    if (this.server.pid) {
      process.kill(-this.server.pid, "SIGKILL");
    }
  }

  /** Maps realm roles as an administrator would. */
  async mapRoles(roles: Roles) {
    const client = await this.client();
    const mappers = `/${REALM}/clients/${client.id}/protocol-mappers/models`;
    const earlier = (await this.admin("GET", mappers)) as { id: string }[];
    for (const mapper of earlier) {
      await this.admin("DELETE", `${mappers}/${mapper.id}`);
    }
    if (roles === "default") {
      return;
    }
    await this.admin("POST", mappers, {
      name: "realm roles",
      protocol: "openid-connect",
      protocolMapper: "oidc-usermodel-realm-role-mapper",
      config: {
        "claim.name": "realm_access.roles",
        "jsonType.label": "String",
        multivalued: "true",
        "id.token.claim": String(roles === "id-token"),
        "userinfo.token.claim": String(roles === "userinfo"),
        "access.token.claim": "true",
      },
    });
  }

  /** Has ID tokens signed by an algorithm; its default if none is given. */
  async sign(algorithm: string) {
    const client = await this.client();
    const attributes = { ...client.attributes, "id.token.signed.response.alg": algorithm };
    await this.admin("PUT", `/${REALM}/clients/${client.id}`, { ...client, attributes });
  }

  /** Makes a new key that signs from now on. */
  async rotateKeys() {
    const { id } = (await this.admin("GET", `/${REALM}`)) as { id: string };
    await this.admin("POST", `/${REALM}/components`, {
      name: "a new key",
      providerId: "rsa-generated",
      providerType: "org.keycloak.keys.KeyProvider",
      parentId: id,
      config: { priority: ["1000"], enabled: ["true"], active: ["true"], algorithm: ["RS256"] },
    });
  }

  /** Ends all sessions of a person. */
  async logOut(name: string) {
    const users = (await this.admin("GET", `/${REALM}/users?username=${name}`)) as { id: string }[];
    await this.admin("POST", `/${REALM}/users/${users[0]?.id ?? ""}/logout`);
  }

  private async client() {
    const clients = await this.admin("GET", `/${REALM}/clients?clientId=${CLIENT}`);
    const [client] = clients as { id: string; attributes: Record<string, string> }[];
    if (!client) {
      throw new Error("the realm has no client");
    }
    return client;
  }

  private async signIn() {
    const end = Date.now() + STARTS_WITHIN_MS;
    const body = new URLSearchParams({
      grant_type: "password",
      client_id: "admin-cli",
      username: "admin",
      password: this.password,
    });
    for (;;) {
      const url = `${SERVER}/realms/master/protocol/openid-connect/token`;
      const answer = await fetch(url, { method: "POST", body }).catch(() => undefined);
      if (answer?.ok) {
        this.token = ((await answer.json()) as { access_token: string }).access_token;
        return;
      }
      if (Date.now() > end) {
        throw new Error(`Keycloak does not start: ${answer?.status ?? "no answer"}`);
      }
      await new Promise((done) => setTimeout(done, 1_000));
    }
  }

  private async admin(method: string, path: string, body?: object): Promise<unknown> {
    // An administrator's token lives for a minute.
    await this.signIn();
    const answer = await fetch(`${SERVER}/admin/realms${path}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json" },
      body: body ? JSON.stringify(body) : null,
    });
    const text = await answer.text();
    if (!answer.ok) {
      throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    }
    return text ? JSON.parse(text) : undefined;
  }
}

/** Somebody with a role, who is asked for nothing more at the first sign-in. */
function user(username: string, role: string) {
  return {
    username,
    enabled: true,
    email: `${username}@example.com`,
    emailVerified: true,
    firstName: username,
    lastName: "Example",
    credentials: [{ type: "password", value: PASSWORD, temporary: false }],
    realmRoles: [role],
  };
}
