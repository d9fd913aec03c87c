//! Control planes and tokens by name, in a TOML file of the user's own: `$ARMOUR_CONFIG`,
//! else `armour/config.toml` below `$XDG_CONFIG_HOME` or `~/.config` (XDG Base Directory
//! Specification). Tokens stay in files of their own; only their paths are here.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::output::Output;

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The profile that is used if none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// One control plane, and as whom.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Args)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The control plane, for example https://armour.example.com.
    #[arg(long = "url", value_name = "URL")]
    pub server: String,
    /// File of the API token.
    #[arg(long = "token", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// PEM file of certificates that are trusted besides the system's authorities.
    #[arg(long = "authorities", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How answers are printed.
    #[arg(long = "format", value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
}

/// `armour profiles`.
#[derive(Debug, Subcommand)]
pub enum Profiles {
    /// List profiles.
    List,
    /// Add a profile, or replace it; the first one becomes the default.
    Set {
        /// Its name.
        name: String,
        #[command(flatten)]
        profile: Profile,
    },
    /// Use a profile where none is named.
    Use {
        /// Its name.
        name: String,
    },
    /// Remove a profile.
    Remove {
        /// Its name.
        name: String,
    },
}

/// The profile of this name, or the default one if there is any.
///
/// # Errors
/// If the file cannot be read, or has no profile of this name.
pub fn named(name: Option<&str>) -> anyhow::Result<Option<Profile>> {
    let config = Config::read()?;
    let Some(name) = name.or(config.default.as_deref()) else {
        return Ok(None);
    };
    let known = config.profiles.get(name).cloned();
    let profile = known.with_context(|| {
        let names: Vec<&str> = config.profiles.keys().map(String::as_str).collect();
        format!("no profile {name:?}; there are: {}", names.join(", "))
    })?;
    Ok(Some(profile))
}

/// The file as it is, if there is one. No token is in it.
///
/// # Errors
/// If it cannot be read.
pub fn text() -> anyhow::Result<Option<String>> {
    let file = Config::file()?;
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
    }
}

impl Profiles {
    /// Reads or changes the file.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn run(self, output: Output) -> anyhow::Result<()> {
        let mut config = Config::read()?;
        match self {
            Self::List => {
                let rows = config.profiles.iter().map(|(name, profile)| {
                    let default = config.default.as_ref() == Some(name);
                    json!({ "name": name, "server": profile.server,
                        "token_file": profile.token_file, "ca_file": profile.ca_file,
                        "default": default })
                });
                let columns = ["name", "server", "token_file", "ca_file", "default"];
                return output.print(&rows.collect(), &columns);
            }
            Self::Set { name, mut profile } => {
                // What is relative now would be to another folder later.
                let files = [&mut profile.token_file, &mut profile.ca_file];
                for path in files.into_iter().flatten() {
                    *path = std::path::absolute(&*path)?;
                }
                config.default.get_or_insert_with(|| name.clone());
                config.profiles.insert(name, profile);
            }
            Self::Use { name } => {
                if !config.profiles.contains_key(&name) {
                    bail!("no profile {name:?}");
                }
                config.default = Some(name);
            }
            Self::Remove { name } => {
                if config.profiles.remove(&name).is_none() {
                    bail!("no profile {name:?}");
                }
                config.default = config.default.filter(|default| *default != name);
            }
        }
        config.write()
    }
}

impl Config {
    fn file() -> anyhow::Result<PathBuf> {
        if let Some(file) = std::env::var_os("ARMOUR_CONFIG") {
            return Ok(file.into());
        }
        let folder = match std::env::var_os("XDG_CONFIG_HOME") {
            Some(folder) => PathBuf::from(folder),
            None => std::env::home_dir()
                .context("no home directory; set ARMOUR_CONFIG")?
                .join(".config"),
        };
        Ok(folder.join("armour/config.toml"))
    }

    fn read() -> anyhow::Result<Self> {
        let Ok(file) = Self::file() else {
            return Ok(Self::default());
        };
        match std::fs::read_to_string(&file) {
            Ok(text) => toml::from_str(&text).with_context(|| file.display().to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
        }
    }

    fn write(&self) -> anyhow::Result<()> {
        let file = Self::file()?;
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let partial = file.with_extension("new");
        std::fs::write(&partial, toml::to_string_pretty(self)?)
            .and_then(|()| std::fs::rename(&partial, &file))
            .with_context(|| format!("write {}", file.display()))
    }
}
