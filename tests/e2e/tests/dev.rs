//! `armour dev` as a newcomer runs it, the operator commands, and the clone.

use std::{os::unix::fs::PermissionsExt, path::Path};

use armour_e2e::process::{Process, free_port, program, until};
use rustix::process::Signal;
use tokio::process::Command;

fn armour(data: &Path, arguments: &[&str]) -> (bool, String) {
    let output = std::process::Command::new(program("armour").unwrap())
        .env("ARMOUR_DATA_DIR", data)
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn ok(data: &Path, arguments: &[&str]) -> String {
    let (success, text) = armour(data, arguments);
    assert!(success, "{arguments:?}: {text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_runs_clones_are_caught_and_operators_can_act() {
    let dir = tempfile::Builder::new()
        .prefix("armour-dev")
        .tempdir()
        .unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let data = dir.path().join("data");
    let ports: Vec<u16> = (0..5).map(|_| free_port().unwrap()).collect();
    let at = |port: usize| format!("127.0.0.1:{}", ports[port]);
    let (listen, consumer, producer) = (at(0), at(1), at(2));
    let (upstream, postgres) = (ports[3].to_string(), ports[4].to_string());
    let folder = data.clone();
    let url = format!("http://{consumer}/");
    let dev = Process::start("armour dev", dir.path().join("dev.log"), move || {
        let mut command = Command::new(program("armour").unwrap());
        command
            .env("ARMOUR_DATA_DIR", &folder)
            .arg("dev")
            .args(["--listen", &listen, "--consumer", &consumer])
            .args(["--producer", &producer, "--upstream-port", &upstream])
            .args(["--postgres-port", &postgres]);
        command
    })
    .unwrap();
    let served = until("armour dev", || async {
        reqwest::get(&url)
            .await
            .is_ok_and(|answer| answer.status().is_success())
    });
    if let Err(error) = served.await {
        panic!("{error:#}\n{}", dev.log().unwrap());
    }

    let shown = ok(&data, &["demo", "clone", "--runs", "6"]);
    assert!(
        shown.contains("the thief          3       3        3"),
        "{shown}"
    );
    assert!(
        shown.contains("the owner          3       3        3"),
        "{shown}"
    );

    let shown = ok(&data, &["demo", "clone", "--leave"]);
    assert!(shown.contains("Owner and thief are refused"), "{shown}");
    let pairs: serde_json::Value =
        serde_json::from_str(&ok(&data, &["pairs", "list", "-o", "json"])).unwrap();
    assert_eq!(pairs[0]["state"], "disconnected");
    let pair = pairs[0]["id"].as_str().unwrap();
    ok(&data, &["demo", "enrol"]);
    ok(&data, &["pairs", "re-arm", pair, "--reason", "test"]);
    until("the re-armed pair", || async {
        reqwest::get(&url)
            .await
            .is_ok_and(|answer| answer.status().is_success())
    })
    .await
    .unwrap();

    // Every resource has its commands.
    let collisions = ok(&data, &["collisions"]);
    assert_eq!(collisions.lines().count(), 1 + 7, "{collisions}");
    ok(&data, &["tenants", "create", "other"]);
    assert!(ok(&data, &["tenants", "list"]).contains("other"));
    let party: serde_json::Value =
        serde_json::from_str(&ok(&data, &["consumers", "create", "second", "-o", "json"])).unwrap();
    let party = party["id"].as_str().unwrap();
    assert!(ok(&data, &["consumers", "get", party]).contains("second"));
    let producers: serde_json::Value =
        serde_json::from_str(&ok(&data, &["producers", "list", "-o", "json"])).unwrap();
    let producer = producers[0]["id"].as_str().unwrap();
    let made = ok(
        &data,
        &[
            "pairs",
            "create",
            "--consumer",
            party,
            "--producer",
            producer,
            "-o",
            "json",
        ],
    );
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let second = made["id"].as_str().unwrap();
    assert!(ok(&data, &["pairs", "policy", second, r#"{"suite": 2}"#]).contains("\"suite\":2"));
    let (success, refused) = armour(&data, &["pairs", "policy", second, r#"{"suite": 4}"#]);
    assert!(
        !success && refused.contains("suite must be from 1 to 3"),
        "{refused}"
    );
    assert!(
        ok(&data, &["pairs", "disconnect", second, "--reason", "test"]).contains("disconnected")
    );
    ok(
        &data,
        &[
            "enrolment-tokens",
            "create",
            "--role",
            "consumer",
            "--party",
            party,
        ],
    );
    assert_eq!(ok(&data, &["enrolment-tokens", "list"]).lines().count(), 11);
    assert_eq!(ok(&data, &["endpoints", "list"]).lines().count(), 10);
    let token: serde_json::Value = serde_json::from_str(&ok(
        &data,
        &[
            "api-tokens",
            "create",
            "ci",
            "--role",
            "operator",
            "-o",
            "json",
        ],
    ))
    .unwrap();
    ok(
        &data,
        &["api-tokens", "revoke", token["id"].as_str().unwrap()],
    );
    let bundles: serde_json::Value = serde_json::from_str(&ok(
        &data,
        &["bundles", "list", "--pair", pair, "-o", "json"],
    ))
    .unwrap();
    let active = bundles
        .as_array()
        .unwrap()
        .iter()
        .find(|b| b["state"] == "active")
        .unwrap();
    let bundle = active["id"].as_str().unwrap();
    ok(&data, &["bundles", "get", bundle]);
    ok(&data, &["bundles", "lanes", bundle]);
    assert!(
        ok(
            &data,
            &["bundles", "disconnect", bundle, "--reason", "test"]
        )
        .contains("disconnected")
    );
    assert!(ok(&data, &["audit", "list", "--action", "collision."]).contains("collision.detect"));
    manage(&data);
    prove(&data);
    ok(&data, &["health"]);
    let (success, missing) = armour(
        &data,
        &["pairs", "get", "00000000-0000-0000-0000-000000000000"],
    );
    assert!(
        !success && missing.contains("not-found") && !missing.contains("backtrace"),
        "{missing}"
    );

    // Ctrl-C drains everything.
    dev.signal(Signal::INT).unwrap();
    let gone = until("armour dev's end", || async {
        dev.log().unwrap().contains("armour dev: stopping")
            && !data.join("postgres/data/postmaster.pid").exists()
    });
    if let Err(error) = gone.await {
        panic!("{error:#}\n{}", dev.log().unwrap());
    }
}

/// Who may act, who is told, how much there may be.
fn manage(data: &Path) {
    let json = |arguments: &[&str]| -> serde_json::Value {
        let arguments = [arguments, &["-o", "json"]].concat();
        serde_json::from_str(&ok(data, &arguments)).unwrap()
    };
    assert_eq!(json(&["whoami"])["role"], "tenant-admin");
    let auditor = json(&["api-tokens", "create", "eyes", "--role", "auditor"]);
    let id = auditor["id"].as_str().unwrap();
    json(&["api-tokens", "rotate", id, "--overlap", "60"]);
    assert!(ok(data, &["api-tokens", "list"]).contains("auditor"));
    let issuer = [
        "issuers",
        "create",
        "staff",
        "--kind",
        "people",
        "--url",
        "https://login.example.com",
        "--audience",
        "armour",
        "--role",
        "armour-operators=operator",
    ];
    let issuer = json(&issuer);
    assert_eq!(issuer["role_map"]["armour-operators"], "operator");
    assert!(ok(data, &["issuers", "list"]).contains("login.example.com"));
    ok(data, &["issuers", "delete", issuer["id"].as_str().unwrap()]);
    assert_eq!(ok(data, &["sessions", "list"]), "none\n");
    let hook = json(&[
        "webhooks",
        "create",
        "http://127.0.0.1:9/",
        "--kind",
        "endpoint.lost",
    ]);
    let hook = hook["webhook"]["id"].as_str().unwrap();
    assert!(ok(data, &["webhooks", "list"]).contains("endpoint.lost"));
    assert_eq!(ok(data, &["webhooks", "deliveries", hook]), "none\n");
    ok(data, &["webhooks", "delete", hook]);
    assert!(ok(data, &["quotas"]).contains("pairs"));
    let (_, keys) = armour(data, &["keys", "list"]);
    assert!(keys.contains("active"), "{keys}");
    let tenant = json(&["tenants", "list"]);
    let other = tenant
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["name"] == "other")
        .unwrap();
    let other = other["id"].as_str().unwrap();
    assert!(
        ok(
            data,
            &["tenants", "quotas", other, "--set", r#"{"pairs": 3}"#]
        )
        .contains('3')
    );
    let (success, refused) = armour(data, &["tenants", "delete", other, "--confirm", "dev"]);
    assert!(
        !success && refused.contains("is called \"other\""),
        "{refused}"
    );
    ok(data, &["tenants", "delete", other, "--confirm", "other"]);
}

/// The log and a real collision, checked without a server.
fn prove(data: &Path) {
    let head: serde_json::Value =
        serde_json::from_str(&ok(data, &["audit", "head", "-o", "json"])).unwrap();
    let key = head["log_key"].as_str().unwrap();
    let log = data.join("log.ndjson").display().to_string();
    ok(data, &["audit", "export", &log]);
    let offline = Path::new("/nonexistent");
    let shown = ok(offline, &["audit", "verify", &log, "--log-key", key]);
    assert!(shown.contains("verified"), "{shown}");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replace("collision.detect", "collision.forget")).unwrap();
    let (success, refused) = armour(offline, &["audit", "verify", &log, "--log-key", key]);
    assert!(!success && refused.contains("was altered"), "{refused}");

    let collisions: serde_json::Value =
        serde_json::from_str(&ok(data, &["collisions", "-o", "json"])).unwrap();
    let fork = collisions
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["kind"] == "fork")
        .unwrap();
    let file = data.join("evidence.json").display().to_string();
    ok(
        data,
        &["evidence", "get", fork["id"].as_str().unwrap(), &file],
    );
    let shown = ok(offline, &["evidence", "verify", &file, "--log-key", key]);
    assert!(shown.contains("PROVEN"), "{shown}");
    let mut forged: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    forged["collision"]["reported"] = forged["collision"]["recorded"].clone();
    std::fs::write(&file, forged.to_string()).unwrap();
    let (success, refused) = armour(offline, &["evidence", "verify", &file, "--log-key", key]);
    assert!(
        !success && refused.contains("contradict nothing"),
        "{refused}"
    );
}
