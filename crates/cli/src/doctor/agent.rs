//! An agent, by its health listener or its data folder.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use super::findings::Findings;

/// What to do about an agent in permissive mode.
pub(super) const PERMISSIVE: &str = "give those that still call without protection an agent, then \
    start this one without --permissive: docs/agent.md";

/// Asks an agent's health listener.
pub async fn check_listener(findings: &mut Findings, listener: &str) {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5));
    let answer = match http.build() {
        Ok(http) => http.get(format!("http://{listener}/ready")).send().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) if answer.status().is_success() => {
            let said = answer.text().await.unwrap_or_default();
            match said.lines().nth(1) {
                None => findings.ok("agent", format!("{listener} is ready")),
                Some(remark) => {
                    findings.warning("agent", format!("{listener}: {remark}"), PERMISSIVE)
                }
            }
        }
        Ok(answer) => {
            let why = answer.text().await.unwrap_or_default();
            findings.broken(
                "agent",
                format!("{listener}: {}", why.trim()),
                "does it reach the control plane? see its log",
            );
        }
        Err(error) => findings.broken(
            "agent",
            format!("{listener}: {error}"),
            "is it running, with --health-listen?",
        ),
    }
}

/// Checks an agent's data folder.
pub fn check_folder(findings: &mut Findings, folder: &Path) {
    let at = folder.display();
    let mode = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some(metadata.permissions().mode() & 0o777)
    };
    let Some(own) = mode(folder) else {
        findings.broken(
            "agent's folder",
            format!("{at} cannot be read"),
            "--agent-data-dir",
        );
        return;
    };
    let keys = mode(&folder.join("keys"));
    let enrolled = folder.join("endpoint.json").exists();
    if own & 0o077 != 0 || keys.is_some_and(|mode| mode & 0o077 != 0) {
        findings.broken(
            "agent's folder",
            format!("{at}: others may read it"),
            "chmod -R go= it, and enrol the endpoint anew if somebody may have read its keys",
        );
    } else if !enrolled {
        findings.warning(
            "agent's folder",
            format!("{at}: not enrolled yet"),
            "armour enrolment-tokens create …",
        );
    } else {
        findings.ok(
            "agent's folder",
            format!("{at}: enrolled, its owner's alone"),
        );
    }
}
