//! Each cell of `docs/roles.md`, tried with real credentials.

use armour_api::{CreatedSecret, Policy};
use armour_control_plane::identity::authz;
use serde_json::json;

use crate::common::{As, PLATFORM, World, call, database, replica, routes};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/roles.md");

#[tokio::test]
async fn each_cell_of_the_table_holds() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let mut tokens = vec![("platform-admin", PLATFORM.to_owned())];
    for role in ["tenant-admin", "operator", "auditor"] {
        let made: CreatedSecret = world
            .operator
            .post("/v1/api-tokens", &json!({ "name": role, "role": role }))
            .await
            .unwrap();
        tokens.push((role, made.token));
    }
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let table: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| `") || line.starts_with("| route"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let columns = &table[0];
    let mut cells = 0;
    for row in &table[1..] {
        let (method, path) = row[0].trim_matches('`').split_once(' ').unwrap();
        for (column, cell) in columns.iter().zip(row).skip(1) {
            let who = match tokens.iter().find(|(role, _)| role == column) {
                Some((_, token)) => As::Bearer(token),
                None => As::Endpoint(&world.consumer),
            };
            let may = tried(&base, who, method, path).await;
            if *cell != "anybody" {
                assert_eq!(may, *cell == "yes", "{method} {path} as {column}");
            }
            cells += 1;
        }
        // Nobody may what is not for anybody.
        let may = tried(&base, As::Nobody, method, path).await;
        assert!(!may || row[1] == "anybody", "{method} {path} as nobody");
    }
    println!("{cells} cells of {} routes hold", table.len() - 1);
    assert_eq!(table.len() - 1, routes().len());

    // Every denied attempt with a tenant's credentials is in its audit log.
    let page: armour_api::Page<armour_api::AuditEntry> = world
        .operator
        .get("/v1/audit?action=access.")
        .await
        .unwrap();
    assert!(page.items.len() >= 50, "{} denials", page.items.len());
    assert!(page.items.iter().all(|entry| entry.action == "access.deny"));
}

#[test]
fn the_documented_table_is_the_enforced_one() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let now = authz::markdown();
    let begin = document.find("| route |").unwrap();
    if std::env::var_os("ARMOUR_UPDATE_ROLES").is_some() {
        std::fs::write(DOCUMENT, format!("{}{now}", &document[..begin])).unwrap();
        return;
    }
    assert!(
        document[begin..] == now,
        "the table changed: run `make roles` and read the difference in docs/roles.md"
    );
}

#[test]
fn every_route_is_in_the_table() {
    let mut documented = routes();
    let mut enforced: Vec<_> = authz::TABLE
        .iter()
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    documented.sort();
    enforced.sort();
    assert_eq!(documented, enforced);
}

/// Whether a call got past the question of who may.
async fn tried(base: &str, who: As<'_>, method: &str, path: &str) -> bool {
    let nobody = "00000000-0000-0000-0000-000000000000";
    let mut filled = path.replace("{version}", "77").replace("{seq}", "0");
    for name in ["id", "rule", "delivery", "tenant", "issuer"] {
        filled = filled.replace(&format!("{{{name}}}"), nobody);
    }
    let body = match path {
        // What would be valid and do something is asked for wrongly.
        "/v1/platform/rotations" => json!({ "to_version": 77 }),
        _ => json!({}),
    };
    let body = (method != "GET" && method != "DELETE").then_some(body);
    let query = if path.ends_with("/tickets") {
        "?lane=0"
    } else {
        ""
    };
    let url = format!("{base}{filled}{query}");
    let (status, _, text) = call(who, method, &url, body.as_ref()).await;
    assert!(status < 500, "{method} {path}: {status} {text}");
    status != 401 && status != 403
}
