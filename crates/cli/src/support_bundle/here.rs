//! What is known on this machine: versions, and how this program is set up.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::archive::Archive;
use crate::{access::Access, profile};

/// Variables that say how this program, and its way out, are set up; none is a secret.
const VARIABLES: [&str; 14] = [
    "ARMOUR_CA_FILE",
    "ARMOUR_CONFIG",
    "ARMOUR_DATA_DIR",
    "ARMOUR_PROFILE",
    "ARMOUR_SERVER",
    "ARMOUR_TOKEN_FILE",
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "LANG",
];

/// Adds it.
pub fn collect(archive: &mut Archive, data: &Path, access: &Access) {
    let release = |file: &str| std::fs::read_to_string(file).ok();
    let versions = json!({
        "armour": env!("CARGO_PKG_VERSION"),
        "kernel": release("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
        "system": release("/etc/os-release"),
        "architecture": std::env::consts::ARCH,
    });
    archive.json("versions.json", Ok::<_, String>(versions));
    let set: Map<String, Value> = VARIABLES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?.into())))
        .collect();
    let configuration = json!({
        "data_dir": data.display().to_string(),
        "server": access.server(data).map_err(|error| format!("{error:#}")),
        "variables": set,
    });
    archive.json("configuration.json", Ok::<_, String>(configuration));
    match profile::text() {
        Ok(Some(text)) => archive.text("config.toml", &text),
        Ok(None) => {}
        Err(error) => archive.is_missing("config.toml", &format!("{error:#}")),
    }
}
