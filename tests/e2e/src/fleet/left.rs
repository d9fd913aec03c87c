//! What agents leave behind when they are replaced: read as the API's JSON, so that states that
//! this program does not know are no error.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;

use super::stage::Fleet;
use crate::process::program;

/// How long whatever is left may take to be put away.
const PATIENCE: Duration = Duration::from_secs(60);

/// What should not be there; a sentence each.
///
/// # Errors
/// If the control plane cannot be asked, or `armour doctor` does not answer.
pub async fn behind(fleet: &Fleet) -> anyhow::Result<Vec<String>> {
    let asked = async {
        loop {
            let left = endpoints_and_bundles(fleet).await?;
            if left.is_empty() {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    // If it is not put away in time, it is told below.
    if let Ok(asked) = tokio::time::timeout(PATIENCE, asked).await {
        asked?;
    }
    let mut left = endpoints_and_bundles(fleet).await?;
    left.extend(doctor(fleet).await?);
    Ok(left)
}

async fn endpoints_and_bundles(fleet: &Fleet) -> anyhow::Result<Vec<String>> {
    let producers = fleet.producers.iter().map(|one| &one.agent.name);
    let consumers = fleet.consumers.iter().map(|one| &one.agent.name);
    let running: BTreeSet<&str> = producers.chain(consumers).map(String::as_str).collect();
    let (mut left, mut theirs) = (Vec::new(), BTreeSet::new());
    for endpoint in fleet.operator.endpoints().every_raw().await? {
        let name = text(&endpoint, "name").to_owned();
        let runs = running.contains(name.as_str());
        if runs {
            theirs.insert(text(&endpoint, "id").to_owned());
        }
        if !endpoint["lost_at"].is_null() {
            left.push(format!("{name} is lost"));
        } else if !runs && text(&endpoint, "state") == "active" && endpoint["left_at"].is_null() {
            left.push(format!("{name} has not left, and its agent is gone"));
        }
    }
    for bundle in fleet.operator.bundles(None).every_raw().await? {
        let ends = ["consumer_endpoint_id", "producer_endpoint_id"];
        let all_run = ends.iter().all(|end| theirs.contains(text(&bundle, end)));
        if text(&bundle, "state") == "active" && !all_run {
            let id = text(&bundle, "id");
            left.push(format!("bundle {id} is active, and an end of it is gone"));
        }
    }
    Ok(left)
}

/// What `armour doctor` calls broken.
async fn doctor(fleet: &Fleet) -> anyhow::Result<Vec<String>> {
    let token = fleet.folder().join("operator-token");
    std::fs::write(&token, &fleet.token)?;
    let output = Command::new(program("armour")?)
        .env("HOME", fleet.folder())
        .args(["doctor", "--output", "json", "--server", &fleet.control])
        .arg("--token-file")
        .arg(&token)
        .arg("--data-dir")
        .arg(fleet.folder().join("no-data"))
        .output()
        .await?;
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).with_context(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("armour doctor: {}", said.trim())
    })?;
    let broken = found.iter().filter(|one| text(one, "state") == "broken");
    let sentence = |one: &Value| format!("doctor: {}: {}", text(one, "check"), text(one, "found"));
    Ok(broken.map(sentence).collect())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
