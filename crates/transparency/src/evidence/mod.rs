//! A collision's evidence, checked by a third party without a server.

mod identity;
mod lanes;
mod line;
mod links;
mod shown;
mod starts;

use armour_api::{CollisionKind, Evidence, EvidenceBundle};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;

pub use self::shown::Shown;

use self::identity::Identity;
use crate::{
    key_chain::KeyChain,
    pin::{Claimed, Pin},
};

/// Checks evidence. `trusted` is a key of the log, present or earlier, if the reader knows one.
///
/// # Errors
/// A sentence that says what does not hold.
pub fn check(evidence: &Evidence, trusted: Option<&VerifyingKey>) -> Result<Shown, String> {
    let mut shown = Shown {
        proven: false,
        checked: Vec::new(),
        rests_on: Vec::new(),
    };
    check_log(evidence, trusted, &mut shown)?;
    let collision = &evidence.collision;
    let recorded = said("recorded", collision.recorded.as_deref())?;
    let reported = said("reported", collision.reported.as_deref())?;
    let said = (recorded.as_deref(), reported.as_deref());
    if collision.kind == CollisionKind::Start {
        starts::check(evidence, said, &mut shown)?;
        return Ok(shown);
    }
    let identity = Identity::of(evidence)?;
    shown.checked(
        "the endpoint's key signed the start, and each key of the start the renewal that \
         followed it",
    );
    match (collision.kind, bundle(evidence)?) {
        (CollisionKind::Link, _) => links::two(&identity, collision.n, said, &mut shown)?,
        (CollisionKind::Disowned, None) => links::disowned(evidence, &identity, said, &mut shown)?,
        (_, None) => return Err("the evidence does not say of which bundle it is".into()),
        (_, Some(bundle)) => lanes::check(collision, bundle, &identity, said, &mut shown)?,
    }
    Ok(shown)
}

/// The endpoint's long-term key is the one that the log holds.
fn check_log(
    evidence: &Evidence,
    trusted: Option<&VerifyingKey>,
    shown: &mut Shown,
) -> Result<(), String> {
    let proof = &evidence.keys;
    let keys = KeyChain::new(proof.head.tenant_id, &evidence.log_key, &proof.rotations)
        .map_err(|error| format!("the log's key: {error}"))?;
    match trusted {
        Some(trusted) if !keys.holds(trusted) => {
            return Err("the log key that you trust is none of the evidence's".into());
        }
        Some(_) => {}
        None => shown.rests_on(
            "the log's key is the one that the evidence itself names; give the one you trust",
        ),
    }
    let mut pin = Pin::at(keys, proof.head.clone())?;
    let claimed = Claimed {
        endpoint: evidence.collision.endpoint_id,
        role: evidence.collision.role,
        signing_key: &evidence.signing_key,
    };
    pin.follow(proof, &[claimed])?;
    shown.checked(format!(
        "the endpoint's key was enrolled as entry {} of the audit log",
        evidence.keys.keys.first().map_or(0, |key| key.entry.seq)
    ));
    Ok(())
}

/// The bundle, if it is of the log's tenant.
fn bundle(evidence: &Evidence) -> Result<Option<&EvidenceBundle>, String> {
    let Some(bundle) = &evidence.bundle else {
        return Ok(None);
    };
    // That the log's key signed this head was checked before.
    match bundle.tenant_id == evidence.keys.head.tenant_id
        && evidence.collision.bundle_id == Some(bundle.bundle_id)
    {
        true => Ok(Some(bundle)),
        false => Err("the bundle is another tenant's, or not the collision's".into()),
    }
}

fn said(name: &str, text: Option<&str>) -> Result<Option<Vec<u8>>, String> {
    let bytes = text.map(|text| STANDARD.decode(text));
    let bytes = bytes.transpose();
    bytes.map_err(|error| format!("what was {name}: {error}"))
}
