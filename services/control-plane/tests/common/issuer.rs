//! An OpenID provider that says what a test has it say, which a certified one would not.

use std::{collections::HashMap, sync::Arc};

use armour_ambient::Ambient;
use armour_client::Client;
use axum::{
    Form, Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use reqwest::header;
use serde_json::{Value, json};
use uuid::Uuid;

/// The client's id at every issuer.
pub const CLIENT: &str = "armour";

/// The client's secret at every issuer: encoded as a form's it is another text.
pub const SECRET: &str = "a secret of the tests";

/// What it says now.
pub struct Says {
    /// More members of the discovery document.
    pub discovery: Value,
    /// More claims of ID tokens.
    pub claims: Value,
    /// The userinfo endpoint's answer.
    pub userinfo: Value,
    /// More members of the set of keys.
    pub more_keys: Vec<Value>,
    /// The key that signs, by its id.
    pub key: (String, SigningKey),
    /// Whether its token endpoint takes calls and answers none.
    pub hangs: bool,
    /// Whether it takes the client's id and secret in the header as they are, and in no other way.
    pub takes_raw: bool,
}

/// A call's form, and the header by which the client showed itself.
type Redemption = (HashMap<String, String>, Option<String>);

/// The provider.
#[derive(Clone)]
pub struct TestIssuer {
    pub url: String,
    pub says: Arc<Mutex<Says>>,
    /// Calls of the token endpoint.
    pub redeemed: Arc<Mutex<Vec<Redemption>>>,
    nonces: Arc<Mutex<HashMap<String, String>>>,
}

impl TestIssuer {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let issuer = Self {
            says: Arc::new(Mutex::new(Says {
                discovery: json!({}),
                claims: json!({ "groups": ["admins"] }),
                userinfo: json!({}),
                more_keys: Vec::new(),
                key: ("first".into(), new_key()),
                hangs: false,
                takes_raw: false,
            })),
            url,
            redeemed: Arc::default(),
            nonces: Arc::default(),
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    /// Has a tenant trust it for people; the issuer's id.
    pub async fn trusted_by(&self, operator: &Client, groups_claim: &str) -> Uuid {
        let more = json!({ "groups_claim": groups_claim });
        self.trusted_with(operator, &more).await
    }

    /// The same with more settings.
    pub async fn trusted_with(&self, operator: &Client, more: &Value) -> Uuid {
        let usual = json!({
            "kind": "people", "name": Ambient::system().opaque_id(), "url": self.url,
            "audience": CLIENT, "client_secret": SECRET,
            "role_map": { "admins": "tenant-admin" },
        });
        let created: Value = operator
            .post("/v1/issuers", &merge(usual, more))
            .await
            .expect("issuer");
        created["id"].as_str().expect("id").parse().expect("uuid")
    }

    /// Signs with another key from now on, and publishes that alone.
    pub fn rotate(&self) {
        self.says.lock().key = (Ambient::system().opaque_id().to_string(), new_key());
    }

    /// A code that is redeemed for an ID token with this nonce.
    pub fn code(&self, nonce: &str) -> String {
        let code = Ambient::system().opaque_id().to_string();
        self.nonces.lock().insert(code.clone(), nonce.to_owned());
        code
    }
}

fn new_key() -> SigningKey {
    SigningKey::generate(&mut Ambient::system().random.generator())
}

fn merge(mut into: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        into[name] = value.clone();
    }
    into
}

async fn discovery(State(issuer): State<TestIssuer>) -> Json<Value> {
    let url = &issuer.url;
    let usual = json!({
        "issuer": url, "jwks_uri": format!("{url}/keys"),
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA", "HS256"],
    });
    Json(merge(usual, &issuer.says.lock().discovery))
}

async fn keys(State(issuer): State<TestIssuer>) -> Json<Value> {
    let says = issuer.says.lock();
    let (kid, key) = &says.key;
    let mut keys = says.more_keys.clone();
    keys.push(json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid,
        "x": URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes()),
    }));
    Json(json!({ "keys": keys }))
}

async fn token(
    State(issuer): State<TestIssuer>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let shown = headers
        .get(header::AUTHORIZATION)
        .map(|value| value.to_str().expect("text").to_owned());
    let nonce = form
        .get("code")
        .and_then(|code| issuer.nonces.lock().remove(code));
    let raw = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{SECRET}")));
    let is_raw = shown.as_ref() == Some(&raw);
    issuer.redeemed.lock().push((form, shown));
    if issuer.says.lock().takes_raw && !is_raw {
        return (
            StatusCode::UNAUTHORIZED,
            Json(json!({ "error": "invalid_client" })),
        )
            .into_response();
    }
    if issuer.says.lock().hangs {
        std::future::pending::<()>().await;
    }
    let Some(nonce) = nonce else {
        return (
            StatusCode::BAD_REQUEST,
            Json(json!({ "error": "invalid_grant" })),
        )
            .into_response();
    };
    let now = Ambient::system().now().timestamp();
    let says = issuer.says.lock();
    let usual = json!({
        "iss": issuer.url, "aud": CLIENT, "sub": "somebody", "nonce": nonce,
        "iat": now, "exp": now + 300,
    });
    let claims = merge(usual, &says.claims);
    let (kid, key) = &says.key;
    let symmetric = claims.get("alg").is_some_and(|alg| alg == "HS256");
    let (algorithm, key) = match symmetric {
        true => (
            Algorithm::HS256,
            EncodingKey::from_secret(SECRET.as_bytes()),
        ),
        false => {
            let der = key.to_pkcs8_der().expect("a key");
            (Algorithm::EdDSA, EncodingKey::from_ed_der(der.as_bytes()))
        }
    };
    let mut head = Header::new(algorithm);
    head.kid = Some(kid.clone());
    let id_token = jsonwebtoken::encode(&head, &claims, &key).expect("a token");
    Json(json!({ "access_token": "at", "token_type": "Bearer", "id_token": id_token }))
        .into_response()
}

async fn userinfo(State(issuer): State<TestIssuer>) -> Json<Value> {
    Json(merge(
        json!({ "sub": "somebody" }),
        &issuer.says.lock().userinfo,
    ))
}

/// A browser: its cookies, without anything else that browsers do.
#[derive(Default)]
pub struct Browser(HashMap<String, String>);

/// Where a sign-in was sent, with what is to be answered.
pub struct Begun {
    pub redirect_uri: String,
    pub state: String,
    pub nonce: String,
}

impl Begun {
    /// What the issuer was asked by leading a browser there.
    pub fn of(base: &str, to: &str) -> Self {
        let url = url::Url::parse(to).expect("an address");
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let redirect = url::Url::parse(&query["redirect_uri"]).expect("an address");
        Self {
            // At this replica, wherever the service is reached.
            redirect_uri: format!("{base}{}", redirect.path()),
            state: query["state"].clone(),
            nonce: query["nonce"].clone(),
        }
    }
}

impl Browser {
    /// Begins to sign in, from the console's page unless another site is given.
    pub async fn login(&mut self, base: &str, tenant: Uuid, issuer: Uuid) -> Begun {
        let (status, to) = self.login_from("same-origin", base, tenant, issuer).await;
        assert_eq!(status, 303, "{to}");
        Begun::of(base, &to)
    }

    /// Begins to sign in from a site of this kind; the status, and where it leads.
    pub async fn login_from(
        &mut self,
        site: &str,
        base: &str,
        tenant: Uuid,
        issuer: Uuid,
    ) -> (u16, String) {
        let url = format!("{base}/v1/auth/login?tenant={tenant}&issuer={issuer}");
        self.get(&url, &[("sec-fetch-site", site)]).await
    }

    /// Comes back to an address with an answer; the status, and where it leads or what it says.
    pub async fn answer(&mut self, to: &str, answer: &[(&str, &str)]) -> (u16, String) {
        let url = url::Url::parse_with_params(to, answer).expect("an address");
        self.get(url.as_str(), &[]).await
    }

    /// Whether it is signed in.
    pub async fn is_signed_in(&mut self, base: &str) -> bool {
        self.get(&format!("{base}/v1/whoami"), &[]).await.0 == 200
    }

    /// Signs out; the status, and what is said.
    pub async fn sign_out(&mut self, base: &str) -> (u16, String) {
        let (_, who) = self.get(&format!("{base}/v1/whoami"), &[]).await;
        let who: Value = serde_json::from_str(&who).expect("who it is");
        let kept: Vec<String> = self.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let asked = reqwest::Client::new()
            .post(format!("{base}/v1/logout"))
            .header("cookie", kept.join("; "))
            .header("x-csrf-token", who["csrf_token"].as_str().expect("a token"));
        let answer = asked.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("a body"))
    }

    pub fn cookies(&self) -> usize {
        self.0.len()
    }

    async fn get(&mut self, url: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("client");
        let kept: Vec<String> = self.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let mut request = http.get(url).header("cookie", kept.join("; "));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        for cookie in answer.headers().get_all("set-cookie") {
            let text = cookie.to_str().expect("text");
            let (pair, more) = text.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a value");
            match more.contains("Max-Age=0") {
                true => self.0.remove(name),
                false => self.0.insert(name.into(), value.into()),
            };
        }
        let to = answer
            .headers()
            .get("location")
            .map(|to| to.to_str().expect("text").to_owned());
        let status = answer.status().as_u16();
        match to {
            Some(to) => (status, to),
            None => (status, answer.text().await.expect("a body")),
        }
    }
}
