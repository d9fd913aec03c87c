//! Two starts that one data folder does not make.

use armour_api::Evidence;
use armour_protocol::v2::identity::start::{SignedStart, Start};
use ed25519_dalek::VerifyingKey;

use super::shown::{Said, Shown};
use crate::head;

/// Checks starts that contradict each other.
pub fn check(evidence: &Evidence, said: Said<'_>, shown: &mut Shown) -> Result<(), String> {
    let key = head::public_key(&evidence.signing_key)?;
    let endpoint = evidence.collision.endpoint_id.as_bytes();
    let reported = start("reported", said.1, endpoint, &key, shown)?;
    let reported = reported.ok_or("the reported start is missing")?;
    if reported.unverified().counter() != evidence.collision.n {
        return Err("the reported start is not the one that the collision names".into());
    }
    let Some(recorded) = start("recorded", said.0, endpoint, &key, shown)? else {
        shown.rests_on(
            "that it goes back to a start that is not recorded is the control plane's word",
        );
        return Ok(());
    };
    let (a, b) = (recorded.unverified(), reported.unverified());
    if a.hash() == b.hash() {
        return Err("the two starts are the same one: they contradict nothing".into());
    }
    if contradict(a, b) || contradict(b, a) {
        shown.proves(
            "the two starts cannot be of one data folder: each names the starts before it, and \
             not the other",
        );
    } else {
        shown.rests_on("that a start between the two is not recorded is the control plane's word");
    }
    Ok(())
}

/// Whether a start goes back to another one than the one with the same number, or has its
/// number.
fn contradict(later: &Start, earlier: &Start) -> bool {
    let named = later.ancestor(earlier.counter());
    later.counter() == earlier.counter() || named.is_some_and(|named| named != earlier.hash())
}

fn start(
    name: &str,
    bytes: Option<&[u8]>,
    endpoint: &[u8; 16],
    key: &VerifyingKey,
    shown: &mut Shown,
) -> Result<Option<SignedStart>, String> {
    let Some(bytes) = bytes else { return Ok(None) };
    let start =
        SignedStart::from_bytes(bytes).map_err(|error| format!("the {name} start: {error}"))?;
    let counter = start
        .verify(endpoint, key)
        .map_err(|error| format!("the {name} start: {error}"))?
        .counter();
    shown.checked(format!(
        "the {name} start, number {counter}, is signed by the endpoint's key"
    ));
    Ok(Some(start))
}
