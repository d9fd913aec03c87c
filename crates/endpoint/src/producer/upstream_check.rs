//! How it is checked whether the API behind a producer's agent answers.

use std::str::FromStr;

use http::Uri;
use serde::Deserialize;

use crate::wire::http_client::HttpClient;

/// How it is checked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum UpstreamCheck {
    /// It is taken to serve.
    Off,
    /// Its port is open.
    #[default]
    Connect,
    /// It answers a GET of this path with a status below 400.
    Get(String),
}

impl FromStr for UpstreamCheck {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "connect" => Ok(Self::Connect),
            path if path.starts_with('/') && path.parse::<Uri>().is_ok() => {
                Ok(Self::Get(path.to_owned()))
            }
            _ => Err("off, connect, or a path that begins with /".to_owned()),
        }
    }
}

impl TryFrom<String> for UpstreamCheck {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// How a server is checked, and by what.
pub(super) struct Checked {
    /// How.
    pub how: UpstreamCheck,
    /// What asks it.
    pub client: HttpClient,
}
