//! Finds out whether a producer's endpoint is there while its calls have no answer, and when it
//! is again. A probe is HTTP without a ticket: whoever answers it has said nothing that counts,
//! but that somebody listens and is not stopped.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Method, Request};
use tokio::time::Instant;

use super::{
    bundle::Bundle,
    pair::{ConsumerPair, Shared},
    trouble::Trouble,
};
use crate::wire::{message::EXCHANGE_PATH, version};

/// A producer that has not been heard of for so long while a call waits is asked.
const QUIET: Duration = Duration::from_millis(750);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(1);

/// Probes a bundle's producer for ever, as long as there are others.
pub async fn run(consumer: Arc<ConsumerPair>, bundle: Arc<Bundle>) {
    let standing = &bundle.standing;
    loop {
        if standing.trouble().is_some() {
            recover(&consumer, &bundle).await;
            continue;
        }
        // Where there is no other, nothing follows from it.
        let others = consumer.serving();
        let has_others = others.iter().any(|other| other.id != bundle.id);
        match standing.silence().filter(|_| has_others) {
            None => tokio::select! {
                () = standing.called.notified() => {}
                _ = standing.troubled() => {}
                // While a bundle is renewed there are two of these, of which one is woken.
                () = tokio::time::sleep(ANSWER) => {}
            },
            Some(silence) if silence < QUIET => tokio::time::sleep(QUIET - silence).await,
            Some(_) => match probe(&consumer, &bundle).await {
                Ok(()) => {
                    standing.answers_probes();
                    // Who listens there says nothing of what it was brought: it may be somebody
                    // on the way.
                    let begin_within = Duration::from_millis(bundle.policy.begin_within_ms.into());
                    if standing.stalled() > Some(begin_within + QUIET) {
                        standing.leave_out(Trouble::Lost);
                    }
                }
                // Something of its own may have come meanwhile.
                Err(_) if standing.silence().is_none_or(|silence| silence < QUIET) => {}
                Err(trouble) => standing.leave_out(trouble),
            },
        }
    }
}

/// Waits until an endpoint that is left out may be called again: for its time, and then until it
/// answers, where that is what was missing.
async fn recover(shared: &Shared, bundle: &Bundle) {
    let standing = &bundle.standing;
    let until = standing.out_until().unwrap_or_else(Instant::now);
    tokio::time::sleep_until(until).await;
    match standing.trouble() {
        None => {}
        Some(trouble) if trouble.is_seen_by_probes() => match probe(shared, bundle).await {
            Ok(()) => standing.answers_probes(),
            Err(trouble) => standing.leave_out(trouble),
        },
        Some(_) => standing.is_admitted(),
    }
}

/// Whether somebody answers there. A proxy that answers in its stead by 5xx does not count.
async fn probe(shared: &Shared, bundle: &Bundle) -> Result<(), Trouble> {
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!(
            "{}{}",
            bundle.producer,
            version::path(EXCHANGE_PATH)
        ))
        .body(Body::empty())
        .map_err(|_| Trouble::Silent)?;
    let since = Instant::now();
    let answered = tokio::time::timeout(ANSWER, shared.http.request(request)).await;
    if !matches!(answered, Ok(Ok(_))) {
        bundle.unheard(since);
    }
    match answered {
        Ok(Ok(response)) if !response.status().is_server_error() => Ok(()),
        Ok(Err(error)) if super::transport::is_refused(&error) => Err(Trouble::Refused),
        _ => Err(Trouble::Silent),
    }
}
