//! A collision's evidence, checked by a third party without a server.

use armour_api::{CollisionKind, Evidence, Role};
use armour_protocol::ticket::SignedTicket;
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;

use crate::{
    head,
    pin::{Claimed, Pin},
};

/// What evidence shows, in sentences for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Whether two contradicting tickets, both signed, prove the collision by
    /// themselves.
    pub proven: bool,
    /// What was checked, one sentence each.
    pub checked: Vec<String>,
    /// What rests on somebody's word.
    pub rests_on: Vec<String>,
}

/// Checks evidence. `trusted` is the log's key if the reader knows it.
///
/// # Errors
/// A sentence that says what does not hold.
pub fn check(evidence: &Evidence, trusted: Option<&VerifyingKey>) -> Result<Shown, String> {
    let mut shown = Shown {
        proven: false,
        checked: Vec::new(),
        rests_on: Vec::new(),
    };
    let log_key =
        head::public_key(&evidence.log_key).map_err(|error| format!("the log's key: {error}"))?;
    match trusted {
        Some(trusted) if *trusted != log_key => {
            return Err("the evidence names another log key than the one you trust".into());
        }
        Some(_) => {}
        None => shown.rests_on.push(
            "the log's key is the one that the evidence itself names; give the one you trust"
                .into(),
        ),
    }
    // The consumer's key is the one that the log holds.
    let mut pin = Pin::first(&evidence.log_key, evidence.keys.head.clone())?;
    let claimed = Claimed {
        endpoint: evidence.consumer_endpoint_id,
        role: Role::Consumer,
        signing_key: &evidence.consumer_signing_key,
    };
    pin.follow(&evidence.keys, &[claimed])?;
    shown.checked.push(format!(
        "the consumer's key was enrolled as entry {} of the audit log",
        evidence.keys.keys.first().map_or(0, |key| key.entry.seq)
    ));
    let key = head::public_key(&evidence.consumer_signing_key)
        .map_err(|error| format!("the consumer's key: {error}"))?;
    let collision = &evidence.collision;
    let mut tickets = Vec::new();
    for (name, text) in [
        ("recorded", &collision.recorded),
        ("reported", &collision.reported),
    ] {
        let Some(text) = text else { continue };
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| format!("the {name} ticket: {error}"))?;
        let signed = SignedTicket::from_bytes(&bytes)
            .map_err(|error| format!("the {name} ticket: {error}"))?;
        signed
            .verify(&key)
            .map_err(|_| format!("the {name} ticket is not signed with the consumer's key"))?;
        let ticket = &signed.ticket;
        if ticket.bundle != *collision.bundle_id.as_bytes() || ticket.lane != collision.lane {
            return Err(format!("the {name} ticket is of another bundle or lane"));
        }
        shown.checked.push(format!(
            "the {name} ticket, number {} of lane {}, is signed with the consumer's key",
            ticket.n, ticket.lane
        ));
        tickets.push(signed);
    }
    match (collision.kind, &tickets[..]) {
        (CollisionKind::Fork, [recorded, reported]) => {
            if recorded.ticket.n != reported.ticket.n || recorded.ticket.n != collision.n {
                return Err("the two tickets are not of the same number".into());
            }
            if recorded.ticket.hash() == reported.ticket.hash() {
                return Err("the two tickets are the same one: they contradict nothing".into());
            }
            shown.checked.push(
                "the two tickets are different successors at the same place: two holders of the \
                 consumer's state"
                    .into(),
            );
            shown.proven = true;
        }
        (CollisionKind::Fork, _) => return Err("a fork needs two tickets".into()),
        (CollisionKind::Superseded, _) => shown.rests_on.push(
            "when the bundle was superseded is the control plane's word and its log's".into(),
        ),
        (CollisionKind::Disowned, _) => shown
            .rests_on
            .push("that it did not issue the ticket is the consumer's word".into()),
        (CollisionKind::Usurped, _) => shown
            .rests_on
            .push("that it did not draw the successor is the consumer's word".into()),
    }
    Ok(shown)
}
