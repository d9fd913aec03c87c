//! Whether the API behind a producer's agent answers: consumers are given bundles with those
//! producers whose does.

use std::{sync::Arc, time::Duration};

use armour_api::Phase;
use axum::body::Body;
use http::Request;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{
    endpoint::ProducerEndpoint,
    upstream::{Server, Upstream},
    upstream_check::UpstreamCheck,
};

/// How often it is checked.
const INTERVAL: Duration = Duration::from_secs(3);
/// How soon it is checked again after a failure that was none before.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a check may take.
const LIMIT: Duration = Duration::from_secs(2);
/// So many failures in a row withdraw it: one lost packet does not.
const FAILURES: u32 = 2;

impl Upstream {
    /// Checks it, once.
    ///
    /// # Errors
    /// Why it does not serve.
    pub async fn check(&self) -> Result<(), String> {
        match self {
            Self::Here(..) => Ok(()),
            Self::Server(server) => match tokio::time::timeout(LIMIT, server.check()).await {
                Ok(checked) => checked,
                Err(_) => Err(format!("no answer in {LIMIT:?}")),
            },
        }
    }
}

impl Server {
    async fn check(&self) -> Result<(), String> {
        let Some(checked) = &self.checked else {
            return Ok(());
        };
        match &checked.how {
            UpstreamCheck::Off => Ok(()),
            UpstreamCheck::Connect => {
                let connected = TcpStream::connect(self.address()).await;
                connected.map(drop).map_err(|error| error.to_string())
            }
            UpstreamCheck::Get(path) => {
                let target = self.locate(&path.parse().map_err(|_| "no path".to_owned())?);
                let request = Request::builder().uri(target.ok_or("no path")?);
                let request = request.body(Body::empty()).map_err(|e| e.to_string())?;
                let response = checked.client.request(request).await;
                let response = response.map_err(|error| {
                    let error = anyhow::Error::new(error);
                    format!("{error:#}")
                })?;
                match response.status() {
                    status if status.as_u16() < 400 => Ok(()),
                    status => Err(format!("it answers {status} to GET {path}")),
                }
            }
        }
    }
}

impl ProducerEndpoint {
    /// Checks the upstream for as long as the producer stays, and has the control plane told.
    pub(super) async fn watch_upstream(self: Arc<Self>, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let checked = tokio::select! {
                checked = async { self.upstream().check().await } => checked,
                () = stop.cancelled() => return,
            };
            failures = self.note_check(checked, failures);
            let pause = match failures {
                0 => INTERVAL,
                some if some < FAILURES => AGAIN,
                _ => INTERVAL.min(AGAIN * failures),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.check_due.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Takes note of a check that came after so many failures in a row; how many there are now.
    pub(super) fn note_check(&self, checked: Result<(), String>, before: u32) -> u32 {
        let failures = match &checked {
            Ok(()) => 0,
            Err(_) => before.saturating_add(1),
        };
        match checked {
            Ok(()) => self.set_serving(true),
            Err(why) if failures >= FAILURES => {
                if failures == FAILURES {
                    tracing::warn!(
                        why,
                        "THE UPSTREAM DOES NOT SERVE: consumers are to go elsewhere"
                    );
                    self.session
                        .note(format!("the upstream does not serve: {why}"));
                }
                self.set_serving(false);
            }
            Err(why) => tracing::debug!(why, "the upstream's check failed once"),
        }
        failures
    }

    fn set_serving(&self, serving: bool) {
        if self.leaving.has_begun() {
            return;
        }
        self.session.set_phase(match serving {
            true => Phase::Serving,
            false => Phase::NotServing,
        });
    }
}

#[cfg(test)]
mod tests;
