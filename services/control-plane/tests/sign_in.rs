//! People's sign-ins, with issuers that say what they should not, or say it in other ways.

use armour_api::{AuditEntry, Page, Policy};
use futures::StreamExt;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::common::{
    As, World, bound, call, database,
    issuer::{Begun, Browser, TestIssuer},
    replica_with, until,
};

/// A control plane that may call issuers here, a tenant, and an issuer that it trusts.
async fn tenant_with_issuer(groups_claim: &str) -> (World, TestIssuer, Uuid) {
    let base = replica_with(
        &database().await,
        &["--egress-allow-issuers", "127.0.0.0/8"],
    )
    .await;
    let world = World::new(&base, Policy::default()).await;
    let issuer = TestIssuer::start().await;
    let id = issuer.trusted_by(&world.operator, groups_claim).await;
    (world, issuer, id)
}

/// Signs in; the status, and where it leads or what it says.
async fn sign_in(world: &World, issuer: &TestIssuer, id: Uuid) -> (u16, String) {
    let mut browser = Browser::default();
    let begun = browser.login(&world.base, world.tenant, id).await;
    let code = issuer.code(&begun.nonce);
    let answer = [("state", &begun.state[..]), ("code", &code)];
    browser.answer(&begun.redirect_uri, &answer).await
}

async fn denials(world: &World) -> Vec<AuditEntry> {
    let path = "/v1/audit?action=sign-in.deny";
    let page: Page<AuditEntry> = world.operator.get(path).await.unwrap();
    page.items
}

#[tokio::test]
async fn h1_one_issuers_code_is_not_redeemed_at_anothers() {
    let (world, honest, id) = tenant_with_issuer("groups").await;
    let attacker = World::new(&world.base, Policy::default()).await;
    let evil = TestIssuer::start().await;
    let evil_id = evil.trusted_by(&attacker.operator, "groups").await;
    // The victim begins with the attacker's issuer, which leads it on to the honest one: that
    // answers to where its own tenant's client is registered, with the attacker's state.
    let mut victim = Browser::default();
    let begun = victim.login(&world.base, attacker.tenant, evil_id).await;
    let mut own = Browser::default();
    let registered = own.login(&world.base, world.tenant, id).await.redirect_uri;
    assert_ne!(registered, begun.redirect_uri);
    let code = honest.code(&begun.nonce);
    let answer = [("state", &begun.state[..]), ("code", &code)];
    let (status, text) = victim.answer(&registered, &answer).await;
    assert!(status == 400 && text.contains("sign-in-stale"), "{text}");
    assert!(
        evil.redeemed.lock().is_empty(),
        "the code went to the attacker"
    );
    assert!(!victim.is_signed_in(&world.base).await);
}

#[tokio::test]
async fn h1_an_issuer_that_names_itself_has_to() {
    let (world, issuer, id) = tenant_with_issuer("groups").await;
    issuer.says.lock().discovery =
        json!({ "authorization_response_iss_parameter_supported": true });
    for (iss, expected) in [
        (None, 400),
        (Some("https://other.example"), 400),
        (Some(&issuer.url[..]), 303),
    ] {
        let mut browser = Browser::default();
        let begun = browser.login(&world.base, world.tenant, id).await;
        let code = issuer.code(&begun.nonce);
        let mut answer = vec![("state", &begun.state[..]), ("code", &code)];
        answer.extend(iss.map(|iss| ("iss", iss)));
        let (status, text) = browser.answer(&begun.redirect_uri, &answer).await;
        assert_eq!(status, expected, "{iss:?}: {text}");
    }
}

#[tokio::test]
async fn h1_no_other_site_begins_a_sign_in() {
    let (world, _, id) = tenant_with_issuer("groups").await;
    let mut browser = Browser::default();
    for site in ["cross-site", "same-site", "none"] {
        let (status, text) = browser
            .login_from(site, &world.base, world.tenant, id)
            .await;
        assert!(status == 403 && text.contains("csrf"), "{site}: {text}");
    }
    assert_eq!(browser.cookies(), 0);
}

#[tokio::test]
async fn sign_in_two_tabs_both_end() {
    let (world, issuer, id) = tenant_with_issuer("groups").await;
    let mut browser = Browser::default();
    let first = browser.login(&world.base, world.tenant, id).await;
    let second = browser.login(&world.base, world.tenant, id).await;
    // A third that fails takes neither along.
    let third = browser.login(&world.base, world.tenant, id).await;
    let refused = [("state", &third.state[..]), ("error", "access_denied")];
    assert_eq!(browser.answer(&third.redirect_uri, &refused).await.0, 403);
    for begun in [first, second] {
        let code = issuer.code(&begun.nonce);
        let answer = [("state", &begun.state[..]), ("code", &code)];
        let (status, to) = browser.answer(&begun.redirect_uri, &answer).await;
        assert_eq!((status, &to[..]), (303, "/"));
    }
    assert!(browser.is_signed_in(&world.base).await);
    // However many are begun, a browser keeps a few.
    for _ in 0..20 {
        browser.login(&world.base, world.tenant, id).await;
    }
    assert!(browser.cookies() <= 5, "{}", browser.cookies());
}

/// As Keycloak answers a tab whose person signed in in another one meanwhile.
fn has_expired_there(begun: &Begun) -> [(&str, &str); 3] {
    [
        ("state", &begun.state),
        ("error", "temporarily_unavailable"),
        ("error_description", "authentication_expired"),
    ]
}

#[tokio::test]
async fn sign_in_what_has_expired_at_the_issuer_begins_anew_once() {
    let (world, issuer, id) = tenant_with_issuer("groups").await;
    let mut browser = Browser::default();
    let begun = browser.login(&world.base, world.tenant, id).await;
    let answer = has_expired_there(&begun);
    let (status, to) = browser.answer(&begun.redirect_uri, &answer).await;
    assert!(status == 303 && to.starts_with(&issuer.url), "{to}");
    let again = Begun::of(&world.base, &to);
    assert_ne!(again.state, begun.state);
    // Not for ever.
    let answer = has_expired_there(&again);
    let (status, text) = browser.answer(&again.redirect_uri, &answer).await;
    assert!(status == 403 && text.contains("sign-in-refused"), "{text}");
    // What another says is no invitation.
    let begun = browser.login(&world.base, world.tenant, id).await;
    let overloaded = [
        ("state", &begun.state[..]),
        ("error", "temporarily_unavailable"),
    ];
    assert_eq!(
        browser.answer(&begun.redirect_uri, &overloaded).await.0,
        403
    );
    assert!(!browser.is_signed_in(&world.base).await);
}

#[tokio::test]
async fn sign_in_a_late_tab_goes_on_where_the_browser_is_signed_in() {
    let (world, issuer, id) = tenant_with_issuer("groups").await;
    let mut browser = Browser::default();
    let late = browser.login(&world.base, world.tenant, id).await;
    let first = browser.login(&world.base, world.tenant, id).await;
    let code = issuer.code(&first.nonce);
    let ended = [("state", &first.state[..]), ("code", &code)];
    assert_eq!(browser.answer(&first.redirect_uri, &ended).await.0, 303);
    // It has expired at the issuer; the first one is reloaded, or come back to.
    let (status, to) = browser
        .answer(&late.redirect_uri, &has_expired_there(&late))
        .await;
    assert_eq!((status, &to[..]), (303, "/"));
    let (status, to) = browser.answer(&first.redirect_uri, &ended).await;
    assert_eq!((status, &to[..]), (303, "/"));
    // A browser that is signed in to no tenant, or to another one, began nothing.
    let mut other = Browser::default();
    assert_eq!(other.answer(&first.redirect_uri, &ended).await.0, 400);
    let elsewhere = World::new(&world.base, Policy::default()).await;
    let its = issuer.trusted_by(&elsewhere.operator, "groups").await;
    let begun = other.login(&world.base, elsewhere.tenant, its).await;
    let code = issuer.code(&begun.nonce);
    let answer = [("state", &begun.state[..]), ("code", &code)];
    assert_eq!(other.answer(&begun.redirect_uri, &answer).await.0, 303);
    assert_eq!(other.answer(&first.redirect_uri, &ended).await.0, 400);
}

#[tokio::test]
async fn sign_in_an_issuer_that_hangs_holds_nobody_else_up() {
    let database = database().await;
    let options = [
        "--egress-allow-issuers",
        "127.0.0.0/8",
        "--database-connections",
        "8",
    ];
    let base = replica_with(&database, &options).await;
    let world = World::new(&base, Policy::default()).await;
    let issuer = TestIssuer::start().await;
    let id = issuer.trusted_by(&world.operator, "groups").await;
    issuer.says.lock().hangs = true;
    let mut hanging = tokio::task::JoinSet::new();
    // More than there are connections to the database.
    for _ in 0..20 {
        let (base, tenant) = (base.clone(), world.tenant);
        hanging.spawn(async move {
            let mut browser = Browser::default();
            let begun = browser.login(&base, tenant, id).await;
            let answer = [("state", &begun.state[..]), ("code", "any")];
            browser.answer(&begun.redirect_uri, &answer).await
        });
    }
    until("all of them to wait for the issuer", async || {
        (issuer.redeemed.lock().len() == 20).then_some(())
    })
    .await;
    let pairs: serde_json::Value = world.operator.get("/v1/pairs").await.unwrap();
    assert_eq!(pairs["items"].as_array().unwrap().len(), 1);
}

/// The page goes to where it is told to: a script there would be the console's own.
#[tokio::test]
async fn low_a_page_that_signs_out_is_led_to_no_script() {
    let (world, ..) = tenant_with_issuer("groups").await;
    for (end, is_led) in [
        ("javascript:alert(1)", false),
        ("data:text/html,x", false),
        ("https://issuer.example/end", true),
    ] {
        // What is known of an issuer is remembered by its address.
        let issuer = TestIssuer::start().await;
        issuer.says.lock().discovery = json!({ "end_session_endpoint": end });
        let id = issuer.trusted_by(&world.operator, "groups").await;
        let mut browser = Browser::default();
        let begun = browser.login(&world.base, world.tenant, id).await;
        let code = issuer.code(&begun.nonce);
        let answer = [("state", &begun.state[..]), ("code", &code)];
        assert_eq!(browser.answer(&begun.redirect_uri, &answer).await.0, 303);
        let (status, text) = browser.sign_out(&world.base).await;
        assert_eq!(status, 200, "{text}");
        assert_eq!(text.contains(end), is_led, "{text}");
    }
}

#[tokio::test]
async fn sign_in_an_id_token_is_taken_for_whom_it_was_issued_to() {
    let (world, issuer, id) = tenant_with_issuer("groups").await;
    let both = json!(["armour", "another"]);
    for (aud, azp, expected) in [
        (both.clone(), Some("armour"), 303),
        (both.clone(), Some("another"), 502),
        (both, None, 502),
        (json!("armour"), Some("armour"), 303),
        (json!("armour"), Some("another"), 502),
        (json!("another"), Some("armour"), 502),
    ] {
        let mut claims = json!({ "groups": ["admins"], "aud": aud });
        if let Some(azp) = azp {
            claims["azp"] = azp.into();
        }
        issuer.says.lock().claims = claims.clone();
        let (status, text) = sign_in(&world, &issuer, id).await;
        assert_eq!(status, expected, "{claims}: {text}");
    }
}

#[tokio::test]
async fn sign_in_ends_though_the_issuers_keys_were_rotated_a_moment_ago() {
    let (world, issuer, id) = tenant_with_issuer("groups").await;
    assert_eq!(sign_in(&world, &issuer, id).await.0, 303);
    // Its keys were asked for a moment ago, which is not done again at once: the person waits.
    issuer.rotate();
    let (status, text) = sign_in(&world, &issuer, id).await;
    assert_eq!(status, 303, "{text}");
    // What a shared secret signs is refused with the reason.
    issuer.says.lock().claims = json!({ "groups": ["admins"], "alg": "HS256" });
    let (status, text) = sign_in(&world, &issuer, id).await;
    assert!(status == 502 && text.contains("shared secret"), "{text}");
    let why = denials(&world).await[0].detail["why"].to_string();
    assert!(why.contains("HS256"), "{why}");
}

#[tokio::test]
async fn sign_in_groups_are_found_within_claims_and_at_userinfo() {
    let (world, issuer, id) = tenant_with_issuer("realm_access.roles").await;
    issuer.says.lock().claims = json!({ "realm_access": { "roles": ["staff", "admins"] } });
    assert_eq!(sign_in(&world, &issuer, id).await.0, 303);
    issuer.says.lock().claims = json!({});
    issuer.says.lock().userinfo = json!({ "realm_access": { "roles": ["admins"] } });
    assert_eq!(sign_in(&world, &issuer, id).await.0, 303);
    // Of somebody else, as the answer may be where tokens are mixed up.
    issuer.says.lock().userinfo =
        json!({ "sub": "somebody else", "realm_access": { "roles": ["admins"] } });
    assert_eq!(sign_in(&world, &issuer, id).await.0, 502);
    issuer.says.lock().userinfo =
        json!({ "_claim_names": { "realm_access.roles": "elsewhere" }, "phone": "x" });
    let (status, text) = sign_in(&world, &issuer, id).await;
    assert!(
        status == 403 && text.contains("none of your groups"),
        "{text}"
    );
    // The person is not told, but an administrator is.
    assert!(!text.contains("phone"), "{text}");
    let why = denials(&world).await[0].detail["why"].to_string();
    assert!(
        why.contains("too many groups") && why.contains("phone"),
        "{why}"
    );
}

#[tokio::test]
async fn sign_in_shows_the_secret_in_the_body_where_that_alone_is_taken() {
    let (world, issuer, id) = tenant_with_issuer("groups").await;
    issuer.says.lock().discovery =
        json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] });
    assert_eq!(sign_in(&world, &issuer, id).await.0, 303);
    let redeemed = issuer.redeemed.lock();
    let (form, header) = &redeemed[0];
    assert_eq!(form["client_secret"], "a secret of the tests");
    assert_eq!(*header, None);
}

/// It compares the header with what it was configured with, as some issuers do.
#[tokio::test]
async fn sign_in_shows_the_secret_as_it_is_where_the_encoded_one_is_refused() {
    let (world, issuer, encoded) = tenant_with_issuer("groups").await;
    issuer.says.lock().takes_raw = true;
    assert_eq!(sign_in(&world, &issuer, encoded).await.0, 502);
    let more = json!({ "client_authentication": "basic-raw" });
    let raw = issuer.trusted_with(&world.operator, &more).await;
    assert_eq!(sign_in(&world, &issuer, raw).await.0, 303);
    let shown: Value = world.operator.get("/v1/issuers").await.unwrap();
    let how = |at: usize| shown[at]["client_authentication"].clone();
    assert_eq!([how(0), how(1)], ["auto", "basic-raw"]);
    // The other ways, whatever the issuer lists.
    issuer.says.lock().takes_raw = false;
    issuer.says.lock().discovery =
        json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] });
    for (how, in_body) in [("basic", false), ("post", true)] {
        let more = json!({ "client_authentication": how });
        let id = issuer.trusted_with(&world.operator, &more).await;
        assert_eq!(sign_in(&world, &issuer, id).await.0, 303);
        let redeemed = issuer.redeemed.lock();
        let (form, header) = redeemed.last().unwrap();
        assert_eq!(form.contains_key("client_secret"), in_body);
        assert_eq!(header.is_some(), !in_body);
    }
    // What cannot be shown so is refused when it is set.
    for more in [
        json!({ "client_authentication": "basic-raw", "audience": "a:b" }),
        json!({ "client_authentication": "post", "client_secret": null }),
    ] {
        let mut new = json!({
            "kind": "people", "name": "wrong", "url": issuer.url, "audience": "armour",
            "client_secret": "x", "role_map": { "admins": "tenant-admin" },
        });
        new.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let refused = world.operator.post::<Value>("/v1/issuers", &new).await;
        assert!(refused.is_err_and(|error| error.is("invalid-request")));
    }
}

#[tokio::test]
async fn sign_in_one_malformed_key_takes_no_other_with_it() {
    let (world, issuer, id) = tenant_with_issuer("groups").await;
    issuer.says.lock().more_keys = vec![
        json!({ "kty": "of tomorrow" }),
        json!({ "kty": "RSA", "kid": "malformed", "n": 7 }),
    ];
    assert_eq!(sign_in(&world, &issuer, id).await.0, 303);
}

#[tokio::test]
async fn m2_refused_sign_ins_do_not_fill_the_log_and_keep_nothing_else_out_of_it() {
    let database = database().await;
    let base = replica_with(&database, &["--egress-allow-issuers", "127.0.0.0/8"]).await;
    let world = World::new(&base, Policy::default()).await;
    let issuer = TestIssuer::start().await;
    let id = issuer.trusted_by(&world.operator, "groups").await;
    let attempts = 300;
    let tried = futures::stream::iter(0..attempts).map(async |_| {
        let mut browser = Browser::default();
        let begun = browser.login(&base, world.tenant, id).await;
        let answer = [("state", &begun.state[..]), ("code", "bad")];
        browser.answer(&begun.redirect_uri, &answer).await.0
    });
    let tried: Vec<u16> = tried.buffer_unordered(16).collect().await;
    assert!(tried.iter().all(|status| *status == 502));
    let mut connection = bound(&database, world.tenant).await;
    let count = "SELECT count(*) FROM audit_entries WHERE action = 'sign-in.deny'";
    let noted: i64 = sqlx::query_scalar(count)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    // Sixty a minute.
    assert!((60..attempts).contains(&noted), "{noted}");
    let token = world.operator_token();
    let guessed = format!("{}0000", &token[..token.len() - 4]);
    let (status, ..) = call(
        As::Bearer(&guessed),
        "GET",
        &format!("{base}/v1/pairs"),
        None,
    )
    .await;
    assert_eq!(status, 401);
    let path = "/v1/audit?action=access.deny";
    let page: Page<AuditEntry> = world.operator.get(path).await.unwrap();
    assert_eq!(page.items[0].detail["why"], "a wrong secret");
}
