//! Settings that may change while the agent runs: a TOML file that is looked at every few
//! seconds, and at once on SIGHUP. What does not hold is told of, and nothing changes.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use armour_endpoint::{consumer::settings::PairSettings, producer::upstream_check::UpstreamCheck};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::sync::watch;

/// How often the file is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(1000);

/// A consumer's settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSettings {
    /// What is logged, as with `--log`.
    pub log: Option<String>,
    /// The pairs served, each on a listener of its own.
    pub pairs: Vec<PairSettings>,
}

/// A producer's settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProducerSettings {
    /// What is logged, as with `--log`.
    pub log: Option<String>,
    /// The API to protect.
    pub upstream: String,
    /// Speak HTTP/2 to it from the first byte.
    #[serde(default)]
    pub upstream_http2: bool,
    /// Seconds that it has to begin its response.
    #[serde(default = "sixty")]
    pub upstream_timeout: u64,
    /// How it is checked whether it serves.
    #[serde(default)]
    pub upstream_check: UpstreamCheck,
    /// Send it field names in title case over HTTP/1.1.
    #[serde(default)]
    pub title_case_fields: bool,
}

fn sixty() -> u64 {
    60
}

/// Settings that can be wrong by themselves.
pub trait Check {
    /// # Errors
    /// If they are.
    fn check(&self) -> anyhow::Result<()>;
    /// What is logged.
    fn log(&self) -> Option<&str>;
}

impl AsRef<[PairSettings]> for ConsumerSettings {
    fn as_ref(&self) -> &[PairSettings] {
        &self.pairs
    }
}

impl Check for ConsumerSettings {
    fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.pairs.is_empty(), "no [[pairs]]");
        for (at, pair) in self.pairs.iter().enumerate() {
            for other in &self.pairs[..at] {
                ensure!(
                    pair.listen != other.listen,
                    "two pairs listen on {}",
                    pair.listen
                );
                ensure!(
                    pair.pair.is_some() && other.pair.is_some() && pair.pair != other.pair,
                    "each of several [[pairs]] needs a `pair` of its own"
                );
            }
        }
        Ok(())
    }

    fn log(&self) -> Option<&str> {
        self.log.as_deref()
    }
}

impl Check for ProducerSettings {
    fn check(&self) -> anyhow::Result<()> {
        Ok(())
    }

    fn log(&self) -> Option<&str> {
        self.log.as_deref()
    }
}

/// Settings that never change.
pub fn fixed<T>(settings: T) -> watch::Receiver<T> {
    watch::channel(settings).1
}

/// The settings of a file, and each later state of it that holds.
///
/// # Errors
/// If they do not hold now.
pub fn of_file<T>(file: &Path) -> anyhow::Result<watch::Receiver<T>>
where
    T: DeserializeOwned + Check + PartialEq + Send + Sync + 'static,
{
    let text = read(file)?;
    let settings: T = parse(file, &text)?;
    let (sender, receiver) = watch::channel(settings);
    tokio::spawn(follow(file.to_owned(), text, sender));
    Ok(receiver)
}

async fn follow<T>(file: PathBuf, mut seen: String, sender: watch::Sender<T>)
where
    T: DeserializeOwned + Check + PartialEq,
{
    use tokio::signal::unix::{SignalKind, signal};
    let mut asked = signal(SignalKind::hangup()).ok();
    loop {
        let hangup = async {
            match &mut asked {
                Some(asked) => drop(asked.recv().await),
                None => std::future::pending().await,
            }
        };
        let forced = tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => false,
            () = hangup => true,
            () = sender.closed() => return,
        };
        let now = match read(&file) {
            Ok(text) if text == seen && !forced => continue,
            Ok(text) => text,
            // It may be about to be replaced.
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "settings");
                continue;
            }
        };
        seen = now;
        match parse::<T>(&file, &seen) {
            Ok(settings) => {
                let changed = sender.send_if_modified(|current| {
                    let differs = *current != settings;
                    *current = settings;
                    differs
                });
                tracing::info!(file = %file.display(), changed, "settings were read");
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the settings in use are kept");
            }
        }
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

fn parse<T: DeserializeOwned + Check>(file: &Path, text: &str) -> anyhow::Result<T> {
    let settings: T = toml::from_str(text).with_context(|| file.display().to_string())?;
    settings
        .check()
        .with_context(|| file.display().to_string())?;
    if let Some(log) = settings.log() {
        armour_telemetry::set_log(log).with_context(|| file.display().to_string())?;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a20da7-7765-7384-b45a-98899b8c3834";

    fn consumer(text: &str) -> Result<ConsumerSettings, String> {
        parse(Path::new("agent.toml"), text).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn what_is_wrong_is_named() {
        let one = "[[pairs]]\nlisten = \"127.0.0.1:1\"\n";
        assert_eq!(consumer(one).unwrap().pairs[0].retry_for, 30);
        let wrong = [
            ("pairs = []", "no [[pairs]]"),
            ("[[pairs]]\nlisten = \"x\"", "listen"),
            ("[[pairs]]\nlisten = \"127.0.0.1:1\"\nlissen = 1", "lissen"),
            (&format!("{one}{one}"), "two pairs listen on 127.0.0.1:1"),
            (
                &format!("{one}[[pairs]]\nlisten = \"127.0.0.1:2\""),
                "needs a `pair` of its own",
            ),
            (
                &format!("{one}[[pairs]]\nlisten = \"127.0.0.1:2\"\npair = \"{ID}\""),
                "needs a `pair` of its own",
            ),
        ];
        for (text, says) in wrong {
            let error = consumer(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_taken_up_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, "upstream = \"http://a\"").unwrap();
        let mut settings = of_file::<ProducerSettings>(&file).unwrap();
        std::fs::write(&file, "upstream = ").unwrap();
        tokio::time::sleep(POLL_INTERVAL * 2).await;
        assert!(!settings.has_changed().unwrap());
        std::fs::write(&file, "upstream = \"http://b\"").unwrap();
        settings.changed().await.unwrap();
        assert_eq!(settings.borrow().upstream, "http://b");
        assert_eq!(settings.borrow().upstream_check, UpstreamCheck::Connect);
        std::fs::write(&file, "upstream = \"http://b\"\nupstream_check = \"/up\"").unwrap();
        settings.changed().await.unwrap();
        let check = settings.borrow().upstream_check.clone();
        assert_eq!(check, UpstreamCheck::Get("/up".into()));
    }
}
