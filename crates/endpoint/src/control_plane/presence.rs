//! The living start's answer while another one wants its place. It waits behind nothing:
//! after 2 s the other one is the endpoint.

use std::{sync::Arc, time::Duration};

use armour_api::{AnswerPresence, Event};
use armour_client::{Client, ClientError};
use backon::Retryable as _;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{enrolment::Identity, signer::Signer};
use crate::backoff;

/// After this an answer is of no use.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers the event that asks, in a task of its own.
pub(super) fn answer(client: Client, signer: Arc<dyn Signer>, own: Identity, event: &Event) {
    let other = event.detail.get("start").and_then(|start| start.as_str());
    let other = other.and_then(|start| STANDARD.decode(start).ok());
    let Some(other) = other.and_then(|start| <[u8; 32]>::try_from(start).ok()) else {
        tracing::error!("asked for a sign of presence, but not before which start");
        return;
    };
    tracing::warn!(
        other = hex::encode(other),
        "another start wants to be this endpoint"
    );
    tokio::spawn(async move {
        let signature = match signer.present(other).await {
            Ok(signature) => signature,
            Err(error) => {
                tracing::error!(%error, "cannot sign that this start lives");
                return;
            }
        };
        let answer = AnswerPresence {
            tenant_id: own.tenant,
            endpoint_id: own.id,
            other: STANDARD.encode(other),
            signature: STANDARD.encode(signature),
        };
        let sent = (|| client.answer_presence(&answer))
            .retry(backoff::retries())
            .when(ClientError::is_passing);
        match tokio::time::timeout(PATIENCE, sent).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the sign of presence is not taken"),
            Err(_) => tracing::error!("the sign of presence is not taken in time"),
        }
    });
}

#[cfg(test)]
mod tests {
    use armour_protocol::v2::identity::{
        incarnation::Presence,
        mark::Incarnated,
        start::{SignedStart, StartHash},
    };

    use super::*;
    use crate::control_plane::testing::{Answer, ControlPlane, OWN, TestEnclave, event};

    #[tokio::test(start_paused = true)]
    async fn the_living_start_says_that_it_lives_though_an_answer_is_lost() {
        let (told, mut done) = tokio::sync::mpsc::unbounded_channel();
        let control_plane = ControlPlane::start(move |before, _| match before {
            0 => Answer::Problem("unavailable", 503),
            _ => {
                told.send(()).unwrap();
                Answer::Json(serde_json::Value::Null)
            }
        })
        .await;
        let (enclave, announcement) = TestEnclave::started();
        let other = [7; 32];
        let asked = serde_json::json!({ "start": STANDARD.encode(other) });
        let event = event(1, "endpoint.presence-asked", asked);
        answer(control_plane.client.clone(), enclave, OWN, &event);
        done.recv().await.unwrap();
        let said: AnswerPresence = control_plane.asked()[1].read();
        assert_eq!((said.tenant_id, said.endpoint_id), (OWN.tenant, OWN.id));
        let start = STANDARD.decode(announcement.start).unwrap();
        let start = SignedStart::from_bytes(&start).unwrap();
        let start = start.unverified();
        let signature = STANDARD.decode(said.signature).unwrap();
        let presence = Presence::from_bytes(signature.try_into().unwrap());
        assert!(presence.verify(&Incarnated::by(start), start.key(), StartHash(other)));
    }
}
