//! Reachability, clocks, versions, migrations, keys.

use std::{path::Path, time::Duration};

use armour_ambient::Clock;
use armour_api::{Health, KeyState, Problem, System};
use armour_client::Client;
use chrono::{DateTime, Utc};
use reqwest::Response;

use super::findings::Findings;
use crate::access::{Access, As};

/// The last migration that this program knows; a test holds it to `migrations/`.
pub const LATEST_MIGRATION: i64 = 22;
/// Proofs of possession are good for so long; clocks further apart break what has no nonce.
const CLOCKS_APART: i64 = 30;

/// What was learnt for later checks.
pub struct Server {
    /// The control plane's version.
    pub version: String,
    /// Whether the token is the platform's, which sees nothing of a tenant's.
    pub as_platform: bool,
}

/// Checks the control plane; tells of it if it can be asked more.
pub async fn check(
    findings: &mut Findings,
    data: &Path,
    access: &Access,
    here: &Clock,
) -> Option<Server> {
    let server = configuration(findings, data, access)?;
    let http = authorities(findings, access)?;
    let asked_at = here.now();
    let answer = reachability(findings, &http, &server).await?;
    clock(findings, &answer, asked_at);
    let health = readiness(findings, answer).await?;
    version(findings, &health.version);
    let as_platform = service(findings, data, access).await;
    Some(Server {
        version: health.version,
        as_platform,
    })
}

fn configuration(findings: &mut Findings, data: &Path, access: &Access) -> Option<String> {
    match access.server(data) {
        Ok(server) => {
            findings.ok("configuration", server.clone());
            Some(server)
        }
        Err(error) => {
            findings.broken(
                "configuration",
                format!("{error:#}"),
                "give --server and --token-file, or a profile: armour profiles set …",
            );
            None
        }
    }
}

fn authorities(findings: &mut Findings, access: &Access) -> Option<reqwest::Client> {
    let http = access
        .http()
        .and_then(|builder| Ok(builder.timeout(Duration::from_secs(10)).build()?));
    match http {
        Ok(http) => Some(http),
        Err(error) => {
            findings.broken("authorities", format!("{error:#}"), "see --ca-file");
            None
        }
    }
}

async fn reachability(
    findings: &mut Findings,
    http: &reqwest::Client,
    server: &str,
) -> Option<Response> {
    match http.get(format!("{server}/v1/health/ready")).send().await {
        Ok(answer) => Some(answer),
        Err(error) => {
            let why = format!("{:#}", anyhow::Error::new(error));
            let mend = match why.contains("certificate") {
                true => "name its authority's certificate with --ca-file",
                false => {
                    "is it running, and is this its address? docs/runbooks/control-plane-unreachable.md"
                }
            };
            findings.broken("reachability", why, mend);
            None
        }
    }
}

fn clock(findings: &mut Findings, answer: &Response, asked_at: DateTime<Utc>) {
    let date = answer.headers().get("date");
    let date = date.and_then(|value| DateTime::parse_from_rfc2822(value.to_str().ok()?).ok());
    match date.map(|date| (date.to_utc() - asked_at).num_seconds()) {
        None => findings.skipped("clock", "the control plane tells no date"),
        Some(apart) if apart.abs() <= CLOCKS_APART => {
            findings.ok("clock", format!("{apart} s apart from the control plane's"));
        }
        Some(apart) => findings.warning(
            "clock",
            format!("{apart} s apart from the control plane's"),
            "set this machine's clock, or the control plane's, by NTP",
        ),
    }
}

async fn readiness(findings: &mut Findings, answer: Response) -> Option<Health> {
    if !answer.status().is_success() {
        let status = answer.status();
        let why = answer.json::<Problem>().await.map(|problem| problem.detail);
        findings.broken(
            "readiness",
            format!("{status}: {}", why.unwrap_or_default()),
            "see its log; docs/runbooks/control-plane-unreachable.md",
        );
        return None;
    }
    let Ok(health) = answer.json::<Health>().await else {
        findings.broken(
            "reachability",
            "what answers there is no control plane",
            "check --server",
        );
        return None;
    };
    findings.ok("readiness", "it serves, its database takes writes");
    Some(health)
}

fn version(findings: &mut Findings, theirs: &str) {
    let own = env!("CARGO_PKG_VERSION");
    match theirs == own {
        true => findings.ok("version", own),
        false => findings.warning(
            "version",
            format!("the control plane is of {theirs}, this program of {own}"),
            "use the same version of both",
        ),
    }
}

/// What the platform's token alone may see; whether it may be seen.
async fn service(findings: &mut Findings, data: &Path, access: &Access) -> bool {
    let Ok(client) = access.client(data, As::Platform) else {
        findings.skipped("service", "migrations and keys need the platform's token");
        return false;
    };
    // Asked for what is the platform's, a tenant's token would be noted down as refused.
    let of_a_tenant = client.whoami().await.is_ok();
    if of_a_tenant {
        findings.skipped("service", "migrations and keys need the platform's token");
        return false;
    }
    let system = match client.system().await {
        Ok(system) => system,
        Err(_) => {
            findings.skipped("service", "migrations and keys need the platform's token");
            return false;
        }
    };
    migrations(findings, &system);
    replicas(findings, &system);
    outward(findings, &system);
    master_keys(findings, &client).await;
    true
}

fn migrations(findings: &mut Findings, system: &System) {
    let last = system.migrations.iter().copied().max().unwrap_or(0);
    match last.cmp(&LATEST_MIGRATION) {
        std::cmp::Ordering::Equal => findings.ok("migrations", format!("all {last} applied")),
        std::cmp::Ordering::Less => findings.broken(
            "migrations",
            format!("{last} of {LATEST_MIGRATION} applied"),
            "armour-control-plane --migrate-only",
        ),
        std::cmp::Ordering::Greater => findings.warning(
            "migrations",
            format!("{last} applied, this program knows {LATEST_MIGRATION}"),
            "this program is older than the service: use its version",
        ),
    }
}

fn replicas(findings: &mut Findings, system: &System) {
    let mut versions: Vec<&str> = system.replicas.iter().map(|r| &*r.version).collect();
    versions.sort_unstable();
    versions.dedup();
    match versions.len() {
        0 | 1 => findings.ok("replicas", format!("{} running", system.replicas.len())),
        _ => findings.warning(
            "replicas",
            format!("of different versions: {}", versions.join(", ")),
            "fine during an upgrade; else finish it: docs/kubernetes.md",
        ),
    }
}

/// Names what stands between the service and the issuers and receivers that it calls: whoever
/// looks for why one is not reached begins there.
fn outward(findings: &mut Findings, system: &System) {
    let Some(way) = &system.outward else {
        return;
    };
    let authorities = match &way.ca_file {
        Some(file) => format!("the system's authorities and those of {file} are trusted"),
        None => "the system's authorities are trusted".to_owned(),
    };
    let through = match (&way.proxy, &way.no_proxy) {
        (None, _) => "directly".to_owned(),
        (Some(proxy), None) => format!("through {proxy}"),
        (Some(proxy), Some(besides)) => format!("through {proxy}, but for {besides}"),
    };
    findings.ok(
        "outside",
        format!("issuers and webhooks are called {through}; {authorities}"),
    );
}

async fn master_keys(findings: &mut Findings, client: &Client) {
    let Ok(keys) = client.master_keys().await else {
        findings.skipped("master keys", "they cannot be listed");
        return;
    };
    let active = keys.iter().find(|key| key.state == KeyState::Active);
    match active {
        Some(key) if key.loaded => {
            findings.ok("master keys", format!("version {} is active", key.version));
        }
        Some(key) => findings.broken(
            "master keys",
            format!("version {} is active and not loaded", key.version),
            "give it to every replica: docs/keys.md",
        ),
        None => findings.broken("master keys", "none is active", "docs/keys.md"),
    }
}

#[cfg(test)]
mod tests {
    use armour_api::Outward;

    use super::*;

    #[test]
    fn sign_in_the_proxy_and_further_authorities_are_named() {
        let named = |outward: Outward| {
            let mut findings = Findings::default();
            let system = System {
                replicas: Vec::new(),
                database_version: String::new(),
                database_bytes: 0,
                migrations: Vec::new(),
                tenants: 0,
                tenants_waiting: 0,
                waiting_since: None,
                outward: Some(outward),
            };
            super::outward(&mut findings, &system);
            findings.0.remove(0).found
        };
        let found = named(Outward {
            proxy: Some("http://proxy:3128".into()),
            no_proxy: Some("example.com".into()),
            ca_file: Some("/etc/armour/ca.pem".into()),
        });
        assert!(
            found.contains("through http://proxy:3128, but for example.com"),
            "{found}"
        );
        assert!(found.contains("/etc/armour/ca.pem"), "{found}");
        let found = named(Outward {
            proxy: None,
            no_proxy: None,
            ca_file: None,
        });
        assert!(found.contains("directly"), "{found}");
    }

    #[test]
    fn the_last_migration_is_known() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        let numbers = std::fs::read_dir(folder).unwrap().filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.split('_')
                .next()
                .and_then(|number| number.parse::<i64>().ok())
        });
        assert_eq!(numbers.max(), Some(super::LATEST_MIGRATION));
    }
}
