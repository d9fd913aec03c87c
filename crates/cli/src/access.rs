//! Which control plane is called, and as whom.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use armour_client::Client;
use clap::Args;

use crate::{
    dev::DevEnvironment,
    output::Output,
    profile::{self, Profile},
};

/// Which control plane, as whom, and how answers are printed.
#[derive(Debug, Clone, Args)]
pub struct Access {
    /// A profile of `armour profiles`; the default one if absent.
    #[arg(long, short, env = "ARMOUR_PROFILE", global = true)]
    profile: Option<String>,
    /// The control plane; the profile's, or that of `armour dev`, if absent.
    #[arg(long, env = "ARMOUR_SERVER", global = true)]
    server: Option<String>,
    /// File of the API token; the profile's, or that of `armour dev`, if absent.
    #[arg(long, env = "ARMOUR_TOKEN_FILE", global = true)]
    token_file: Option<PathBuf>,
    /// PEM file of certificates that are trusted besides the system's authorities.
    #[arg(long, env = "ARMOUR_CA_FILE", global = true)]
    ca_file: Option<PathBuf>,
    /// How answers are printed; as tables if neither this nor the profile says.
    #[arg(long, short, value_enum, global = true)]
    output: Option<Output>,
}

/// Whose token is used where `armour dev` is asked: it keeps both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// The tenant's operator.
    Operator,
    /// The platform's administrator.
    Platform,
}

impl Access {
    /// The address of the control plane.
    ///
    /// # Errors
    /// If neither options nor a profile nor `armour dev` say it.
    pub fn server(&self, data: &Path) -> anyhow::Result<String> {
        let server = match (&self.server, self.profile()?) {
            (Some(server), _) => server.clone(),
            (None, Some(profile)) => profile.server,
            (None, None) => {
                DevEnvironment::read(data)
                    .context("give the control plane with --server or --profile")?
                    .control_plane
            }
        };
        let url = reqwest::Url::parse(&server);
        ensure!(
            url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()),
            "{server:?} is no address of a control plane; give one such as \
             https://armour.example.com with --server"
        );
        Ok(server.trim_end_matches('/').to_owned())
    }

    /// A client with the operator's token, or the platform's.
    ///
    /// # Errors
    /// If neither options nor a profile nor `armour dev` say where it is.
    pub fn client(&self, data: &Path, role: As) -> anyhow::Result<Client> {
        let server = self.server(data)?;
        let token = self.token(data, role)?;
        let authorities = self.authorities()?;
        Ok(Client::trusting(&server, token, authorities.as_deref())?)
    }

    /// The operator's token, or the platform's.
    ///
    /// # Errors
    /// If neither options nor a profile nor `armour dev` say where it is.
    pub fn token(&self, data: &Path, role: As) -> anyhow::Result<String> {
        let profile = self.profile()?.and_then(|profile| profile.token_file);
        let file = self.token_file.clone().or(profile);
        let file = file.unwrap_or_else(|| {
            data.join(match role {
                As::Platform => "platform-token",
                As::Operator => "operator-token",
            })
        });
        let token = std::fs::read_to_string(&file)
            .with_context(|| format!("{}: give a token with --token-file", file.display()))?;
        Ok(token.trim().to_owned())
    }

    /// A client without credentials, to be built.
    ///
    /// # Errors
    /// If the authorities' file cannot be used.
    pub fn http(&self) -> anyhow::Result<reqwest::ClientBuilder> {
        let builder = reqwest::Client::builder();
        Ok(match self.authorities()? {
            Some(pem) => builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem)?),
            None => builder,
        })
    }

    /// How answers are printed.
    ///
    /// # Errors
    /// If the profile cannot be read.
    pub fn output(&self) -> anyhow::Result<Output> {
        if let Some(output) = self.output {
            return Ok(output);
        }
        let profile = self.profile()?.and_then(|profile| profile.output);
        Ok(profile.unwrap_or(Output::Table))
    }

    fn authorities(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let profile = self.profile()?.and_then(|profile| profile.ca_file);
        let Some(file) = self.ca_file.clone().or(profile) else {
            return Ok(None);
        };
        let pem = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(Some(pem))
    }

    fn profile(&self) -> anyhow::Result<Option<Profile>> {
        profile::named(self.profile.as_deref())
    }
}
