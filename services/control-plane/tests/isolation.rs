//! Tenants see nothing of each other: every route, every table.

use armour_ambient::Ambient;
use armour_api::{Policy, Role};
use armour_protocol::v2::identity::certificate::{
    Certificate, Role as CertifiedRole, Subject, UnixTime,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sqlx::{Connection, Row};
use uuid::Uuid;

use crate::common::{As, World, bound, call, database, enrol, replica, routes};

/// What only tenant A has: in no answer to B may it appear.
const MARK: &str = "only-of-tenant-a";

#[tokio::test]
async fn every_route_hides_other_tenants() {
    let database = database().await;
    let base = replica(&database).await;
    let a = World::new(&base, Policy::default()).await;
    let b = World::new(&base, Policy::default()).await;
    let (theirs, secrets) = everything(&a, &database).await;
    let (token, consumer, producer) = (b.operator_token(), &b.consumer, &b.producer);

    let mut table = String::from("route, as tenant B with tenant A's ids              verdict\n");
    let mut tried = 0;
    let mut unknown_to_their_owner = Vec::new();
    for (method, path) in routes() {
        // Of the platform's own: no tenant's credentials pass at all.
        let platform = path.starts_with("/v1/tenants") || path.starts_with("/v1/platform");
        let callers = match path.starts_with("/v1/endpoint/") || path == "/v1/endpoint" {
            true => vec![As::Endpoint(consumer), As::Endpoint(producer)],
            false => vec![As::Bearer(&token)],
        };
        let mut verdicts = Vec::new();
        for who in callers {
            for theirs in fillings(&path, &theirs) {
                let path = path.replace("{tenant}", &b.tenant.to_string());
                let body = body_of(&method, &path, &theirs);
                let url = format!("{base}{}", fill(&path, &theirs));
                let (status, _, text) = call(who, &method, &url, body.as_ref()).await;
                tried += 1;
                assert!(!text.contains(MARK), "{method} {url}: {text}");
                for secret in &secrets {
                    assert!(
                        !text.contains(secret),
                        "{method} {url} tells {secret}: {text}"
                    );
                }
                if path.starts_with("/v1/auth/callback/") {
                    // No sign-in that this browser began, whoever's issuer is named.
                    assert_eq!(status, 400, "{method} {url}: {text}");
                } else if path == "/v1/enrol/workload/{id}" {
                    // Whom the tenant's issuers do not vouch for.
                    assert_eq!(status, 401, "{method} {url}: {text}");
                } else if path.contains('{') && !platform {
                    // An issuer posts a form, and is told so only where it is known.
                    assert_eq!(status, 404, "{method} {url}: {text}");
                    // The same as of what does not exist at all.
                    let nothing = theirs.map(|_| Ambient::system().id().to_string());
                    let body = body_of(&method, &path, &nothing);
                    let url = format!("{base}{}", fill(&path, &nothing));
                    let (status, _, other) = call(who, &method, &url, body.as_ref()).await;
                    assert_eq!((status, said(&other)), (404, said(&text)), "{method} {url}");
                } else if platform {
                    assert_eq!(status, 403, "{method} {url}: {text}");
                }
                verdicts.push(status.to_string());
            }
        }
        assert!(!verdicts.is_empty(), "{method} {path} was not tried");
        // The ids are such as this route knows: of one of them it tells its owner. Entries of
        // the log have numbers, which each tenant has for itself.
        let by_id = path.contains('{')
            && !path.contains("{seq}")
            && !path.starts_with("/v1/auth/callback/")
            && !platform;
        if method == "GET" && by_id && !known_to(&a, &base, &path, &theirs).await {
            unknown_to_their_owner.push(path.clone());
        }
        verdicts.sort();
        verdicts.dedup();
        table += &format!("{:52}{}\n", format!("{method} {path}"), verdicts.join(" "));
    }
    println!("{table}{tried} calls");
    assert_eq!(unknown_to_their_owner, [""; 0]);
    // A is as it was.
    let (status, _, text) = call(
        As::Bearer(&a.operator_token()),
        "GET",
        &format!("{base}/v1/pairs/{}", a.pair.id),
        None,
    )
    .await;
    assert!(status == 200 && text.contains("\"active\""), "{text}");
}

#[tokio::test]
async fn numbers_names_and_cursors_tell_nothing_of_others() {
    let base = replica(&database().await).await;
    let a = World::new(&base, Policy::default()).await;
    for n in 0..5 {
        let name = format!("{MARK} {n}");
        a.operator
            .create_party(Role::Consumer, &name)
            .await
            .unwrap();
    }
    let b = World::new(&base, Policy::default()).await;
    // The same name is free in each tenant, and taken in its own.
    let name = format!("{MARK} 0");
    b.operator
        .create_party(Role::Consumer, &name)
        .await
        .unwrap();
    assert!(
        b.operator
            .create_party(Role::Consumer, &name)
            .await
            .is_err_and(|error| error.is("already-exists"))
    );
    // Numbers begin anew in each tenant.
    let fresh = World::new(&base, Policy::default()).await;
    let page: armour_api::Page<armour_api::AuditEntry> =
        fresh.operator.get("/v1/audit").await.unwrap();
    assert_eq!(page.items.last().unwrap().seq, 1);
    // A foreign cursor is a place in the order, and no more.
    let path = format!("/v1/consumers?cursor={}", a.pair.consumer_id);
    let page: armour_api::Page<armour_api::Party> = b.operator.get(&path).await.unwrap();
    assert!(
        page.items
            .iter()
            .all(|party| party.id != a.pair.consumer_id)
    );
}

#[tokio::test]
async fn every_table_is_the_tenants_own() {
    // What belongs to the platform, and to no tenant.
    const PLATFORM: [&str; 7] = [
        "replicas",
        "turns",
        "unbroken_service",
        "_sqlx_migrations",
        "key_versions",
        "key_rotations",
        "signing_keys",
    ];
    let database = database().await;
    let base = replica(&database).await;
    World::new(&base, Policy::default()).await;
    let mut connection = sqlx::PgConnection::connect(&database).await.unwrap();
    let tables = sqlx::query(
        "SELECT relname::text, relrowsecurity AND relforcerowsecurity FROM pg_class
         WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.len() > 25);
    for table in &tables {
        let (name, forced): (String, bool) = (table.get(0), table.get(1));
        assert!(
            forced || PLATFORM.contains(&name.as_str()),
            "{name}: row-level security is not forced"
        );
        if forced && !name.starts_with("audit_entries_") {
            // Bound to nobody, nothing is to be seen.
            let sql = format!("SELECT count(*) FROM {name}");
            let seen: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(seen, 0, "{name}");
        }
    }
    // Every key and index begins with the tenant; so do foreign keys.
    let keys = sqlx::query(
        "SELECT t.relname::text, i.relname::text, a.attname::text
         FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid
         JOIN pg_class i ON i.oid = x.indexrelid
         LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = x.indkey[0]
         WHERE t.relnamespace = 'public'::regnamespace
         UNION ALL
         SELECT t.relname, c.conname, a.attname FROM pg_constraint c
         JOIN pg_class t ON t.oid = c.conrelid
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = c.conkey[1]
         WHERE c.contype = 'f' AND t.relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for key in &keys {
        let (table, name, first): (String, String, Option<String>) =
            (key.get(0), key.get(1), key.get(2));
        // Names of tenants are the platform's to give.
        let platform = PLATFORM.contains(&table.as_str()) || name == "tenants_name_key";
        assert!(
            platform || first.as_deref() == Some("tenant_id"),
            "{table}: {name} begins with {first:?}"
        );
    }
    assert!(keys.len() > 60, "{}", keys.len());
}

/// One of everything that tenant A can have: ids by the name of the path's
/// parameter, and texts that nobody else may see.
async fn everything(a: &World, database: &str) -> (Vec<Theirs>, Vec<String>) {
    let operator = &a.operator;
    let extra = operator.create_party(Role::Consumer, MARK).await.unwrap();
    let enrolment = operator
        .create_enrolment_token(Role::Consumer, extra.id)
        .await
        .unwrap();
    let issuer: Value = operator
        .post(
            "/v1/issuers",
            &json!({ "kind": "workload", "name": MARK, "url": "https://example.com",
                     "audience": MARK }),
        )
        .await
        .unwrap();
    let issuer = issuer["id"].as_str().unwrap().to_owned();
    let people: Value = operator
        .post(
            "/v1/issuers",
            &json!({ "kind": "people", "name": MARK, "url": "https://example.com",
                     "audience": MARK, "role_map": { "g": "operator" } }),
        )
        .await
        .unwrap();
    let people = people["id"].as_str().unwrap().to_owned();
    let rule: Value = operator
        .post(
            &format!("/v1/issuers/{issuer}/rules"),
            &json!({ "subject": MARK, "role": "consumer", "party_id": extra.id }),
        )
        .await
        .unwrap();
    let hook: Value = operator
        .post(
            "/v1/webhooks",
            &json!({ "url": format!("https://example.com/{MARK}"), "kinds": ["*"] }),
        )
        .await
        .unwrap();
    let hook = hook["webhook"]["id"].as_str().unwrap().to_owned();
    // After the webhook, so that it is told.
    let live = a.consumer.draw(&a.base, a.pair.id, None).await.bundle.id;
    let deliveries: Value = operator
        .get(&format!("/v1/webhooks/{hook}/deliveries"))
        .await
        .unwrap();
    let delivery = deliveries["items"][0]["id"].as_str().unwrap().to_owned();
    // Of an endpoint without a pair, whose folder was copied: what else there is goes on.
    let copied = enrol(operator, Role::Consumer, extra.id).await;
    copied.start(&a.base).await;
    let copy = copied.copied();
    copied.start(&a.base).await;
    let restored = copy.begin(None);
    copy.announce(&a.base, restored.start(), "test")
        .await
        .unwrap_err();
    let collisions: Value = operator.get("/v1/collisions").await.unwrap();
    let collision = collisions["items"][0]["id"].as_str().unwrap().to_owned();
    let session = Ambient::system().id();
    sqlx::query(
        "INSERT INTO sessions (tenant_id, session_id, issuer_id, hash, subject, name, role,
                               user_agent, expires_at)
         VALUES ($1, $2, $3, '', $4, $4, 'auditor', $4, now() + interval '1 hour')",
    )
    .bind(a.tenant)
    .bind(session)
    .bind(Uuid::parse_str(&people).unwrap())
    .bind(MARK)
    .execute(&mut bound(database, a.tenant).await)
    .await
    .unwrap();
    let tokens: Value = operator.get("/v1/api-tokens").await.unwrap();
    let api_token = tokens["items"][0]["id"].as_str().unwrap().to_owned();
    let ids = [
        a.pair.id,
        a.pair.consumer_id,
        a.pair.producer_id,
        a.consumer.id,
        a.producer.id,
        live,
        session,
        enrolment.id,
    ];
    let mut ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    ids.extend([
        api_token,
        issuer.clone(),
        people.clone(),
        hook.clone(),
        collision,
    ]);
    let inner = [
        ("rule", rule["id"].as_str().unwrap().to_owned()),
        ("delivery", delivery),
        ("issuer", people),
    ];
    let parent = |name: &str| match name {
        "rule" => issuer.clone(),
        "delivery" => hook.clone(),
        _ => String::new(),
    };
    let mut theirs: Vec<Theirs> = Vec::new();
    for id in &ids {
        theirs.push(Theirs {
            id: id.clone(),
            inner: None,
        });
    }
    for (name, id) in &inner {
        theirs.push(Theirs {
            id: parent(name),
            inner: Some((name, id.clone())),
        });
    }
    ids.extend(inner.into_iter().map(|(_, id)| id));
    (theirs, ids)
}

/// A path's ids: the first, and that of what is inside it.
#[derive(Clone)]
struct Theirs {
    id: String,
    inner: Option<(&'static str, String)>,
}

impl Theirs {
    fn map(&self, other: impl Fn(&str) -> String) -> Self {
        Self {
            id: other(&self.id),
            inner: self.inner.as_ref().map(|(name, id)| (*name, other(id))),
        }
    }
}

/// Whether a route that reads tells their owner of one of these ids.
async fn known_to(owner: &World, base: &str, path: &str, theirs: &[Theirs]) -> bool {
    let token = owner.operator_token();
    let callers = match path.starts_with("/v1/endpoint/") {
        true => vec![As::Endpoint(&owner.consumer), As::Endpoint(&owner.producer)],
        false => vec![As::Bearer(&token)],
    };
    let own = path.replace("{tenant}", &owner.tenant.to_string());
    for who in callers {
        for theirs in fillings(path, theirs) {
            let url = format!("{base}{}", fill(&own, &theirs));
            let (status, _, _) = call(who, "GET", &url, None).await;
            if status < 400 {
                return true;
            }
        }
    }
    false
}

/// The fillings that fit a path's parameters.
fn fillings(path: &str, all: &[Theirs]) -> Vec<Theirs> {
    let fits = |theirs: &&Theirs| match &theirs.inner {
        None => path.matches('{').count() <= 1,
        Some((name, _)) => path.contains(&format!("{{{name}}}")),
    };
    let mut fit: Vec<Theirs> = all.iter().filter(fits).cloned().collect();
    if !path.contains('{') {
        // Each id once in body and query will do.
        fit.truncate(6);
    }
    fit
}

fn fill(path: &str, theirs: &Theirs) -> String {
    let mut filled = path
        .replace("{id}", &theirs.id)
        .replace("{version}", "1")
        .replace("{seq}", "999999");
    if let Some((name, id)) = &theirs.inner {
        filled = filled.replace(&format!("{{{name}}}"), id);
    }
    let query = match path {
        "/v1/bundles" => format!("?pair_id={}&cursor={}", theirs.id, Uuid::max()),
        "/v1/audit" => format!("?target={}", theirs.id),
        "/v1/audit/consistency" => "?first=1".into(),
        "/v1/bundles/{id}/tickets" => "?lane=0".into(),
        "/v1/bundles/{id}/sub-tickets" => "?lane=0&n=1".into(),
        "/v1/auth/choices" => format!("?tenant={}", theirs.id),
        "/v1/auth/login" => format!("?tenant={0}&issuer={0}", theirs.id),
        _ => String::new(),
    };
    filled + &query
}

/// A body that would be right if the ids were the caller's own.
fn body_of(method: &str, path: &str, theirs: &Theirs) -> Option<Value> {
    let id = &theirs.id;
    let keys = json!({ "name": "x", "version": "0",
        "signing_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        "kem_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" });
    if method == "GET" || method == "DELETE" {
        return None;
    }
    Some(match path {
        "/v1/pairs" => json!({ "consumer_id": id, "producer_id": id }),
        "/v1/enrolment-tokens" => json!({ "role": "consumer", "party_id": id }),
        "/v1/pairs/{id}/policy" | "/v1/tenants/{id}/quotas" => json!({}),
        "/v1/api-tokens/{id}/rotate" => json!({ "overlap_s": 0 }),
        "/v1/issuers/{id}/rules" => json!({ "subject": "*", "role": "consumer", "party_id": id }),
        "/v1/enrol" => keys,
        "/v1/enrol/workload/{id}" => keys,
        "/v1/endpoints/{id}/start-choice" => json!({ "keep": "newer" }),
        "/v1/endpoints/{id}/certificate" => json!({ "certificate": certificate() }),
        "/v1/endpoint/reports" => json!({ "reports": [] }),
        "/v1/endpoint/token" => json!({ "tenant_id": id, "endpoint_id": id }),
        "/v1/endpoint/presence" => json!({ "tenant_id": id, "endpoint_id": id,
            "other": STANDARD.encode([1; 32]), "signature": STANDARD.encode([1; 64]) }),
        "/v1/tenants" => json!({ "name": "x" }),
        "/v1/platform/rotations" => json!({ "to_version": 1 }),
        _ => json!({ "reason": "x" }),
    })
}

/// A certificate, though of an endpoint that is nowhere.
fn certificate() -> String {
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let subject = Subject {
        tenant: [1; 16],
        party: [2; 16],
        role: CertifiedRole::Producer,
        endpoint: [3; 16],
        signing_key: key.verifying_key(),
        kem_key: [4; 32],
        not_after: UnixTime(u64::MAX),
    };
    STANDARD.encode(Certificate::certify(subject, None, &key).to_bytes())
}

/// A problem without what is different each time.
fn said(text: &str) -> Value {
    let mut problem: Value = serde_json::from_str(text).unwrap();
    problem["request_id"] = Value::Null;
    problem
}
