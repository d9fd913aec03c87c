//! The access log's settings, and its file's rotation.

use armour_ambient::Ambient;
use armour_endpoint::access_log::{AccessLog, Field, Settings, Target};
use clap::Args;
use std::{str::FromStr, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

/// How long what still waits may take to be written at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// What is written of calls, and where.
#[derive(Debug, Clone, Args)]
pub struct AccessLogOptions {
    /// Where a line of JSON is written for each call, at its end: a file, `-` for standard output,
    /// or `off`. SIGHUP opens the file anew.
    #[arg(long, env = "ARMOUR_ACCESS_LOG", default_value = "off")]
    pub access_log: Target,
    /// The share of calls that is written, 0 to 1. Failures are written in any case, beyond the
    /// share at most 100 a second.
    #[arg(
        long,
        env = "ARMOUR_ACCESS_LOG_SAMPLE",
        default_value_t = 1.0,
        value_parser = share
    )]
    pub access_log_sample: f64,
    /// What is written of each call, separated by commas, in this order (docs/agent.md); all but
    /// the query and the user agent if absent.
    #[arg(
        long,
        env = "ARMOUR_ACCESS_LOG_FIELDS",
        value_delimiter = ',',
        value_parser = Field::from_str
    )]
    pub access_log_fields: Vec<Field>,
}

impl AccessLogOptions {
    /// Opens the log; its file is opened anew on SIGHUP.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(&self) -> anyhow::Result<Opened> {
        let settings = Settings {
            target: self.access_log.clone(),
            sample: self.access_log_sample,
            fields: match self.access_log_fields.as_slice() {
                [] => Field::usual(),
                chosen => chosen.to_vec(),
            },
        };
        let is_file = matches!(settings.target, Target::File(_));
        let log = AccessLog::open(settings, Ambient::system())?;
        if is_file {
            // Nobody else may wait for it: it would end the process then.
            let mut asked = signal(SignalKind::hangup())?;
            let log = log.clone();
            tokio::spawn(async move {
                while asked.recv().await.is_some() {
                    log.reopen();
                }
            });
        }
        Ok(Opened(log))
    }
}

/// An access log, of which all is written when the agent ends.
pub struct Opened(AccessLog);

impl Opened {
    /// The log.
    pub fn log(&self) -> AccessLog {
        self.0.clone()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.flush(FLUSH);
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("not a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: AccessLogOptions,
    }

    fn parse(arguments: &[&str]) -> Result<AccessLogOptions, String> {
        let arguments = std::iter::once(&"agent").chain(arguments);
        match Cli::try_parse_from(arguments) {
            Ok(cli) => Ok(cli.options),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn it_is_off_by_default() {
        assert_eq!(parse(&[]).unwrap().access_log, Target::Off);
    }

    #[test]
    fn an_unknown_field_is_refused_with_the_list_and_a_share_is_one() {
        let chosen = parse(&["--access-log-fields", "url.path,armour.side"]).unwrap();
        assert_eq!(chosen.access_log_fields, [Field::Path, Field::Side]);
        let error = parse(&["--access-log-fields", "cookie"]).unwrap_err();
        assert!(error.contains("http.request.method"), "{error}");
        for share in ["1.1", "-0.1", "NaN", "some"] {
            let argument = format!("--access-log-sample={share}");
            assert!(parse(&[&argument]).is_err(), "{share}");
        }
    }
}
