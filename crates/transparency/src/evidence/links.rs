//! Two links to the control plane, or one that its endpoint disowns.

use armour_api::Evidence;
use armour_protocol::v2::identity::{body::LinkKind, link::LinkEvidence, start::SignedStart};

use super::{
    identity::Identity,
    shown::{Said, Shown},
};
use crate::head;

/// Two links that one start does not sign, of which link `n` was reported.
pub fn two(identity: &Identity, n: u64, said: Said<'_>, shown: &mut Shown) -> Result<(), String> {
    let reported = link("reported", said.1)?;
    let signer = identity
        .signer(&reported)
        .ok_or("the reported link is not signed by a key of this start")?;
    let k = reported.head.k();
    if k != n {
        return Err("the reported link is not the one that the collision names".into());
    }
    shown.checked(format!(
        "the reported link, number {k}, is signed by a key of this start"
    ));
    if identity.key_of(k) != Some(signer) {
        shown.proves("it is signed by another key than its number's: somebody else holds that key");
        return Ok(());
    }
    let recorded = link("recorded", said.0)?;
    let other = identity
        .signer(&recorded)
        .ok_or("the recorded link is not signed by a key of this start")?;
    shown.checked(format!(
        "the recorded link, number {}, is signed by a key of this start",
        recorded.head.k()
    ));
    let (a, b) = (recorded.head.mark(), reported.head.mark());
    let renewals = [&recorded, &reported].map(|link| link.head.kind() == LinkKind::Renew);
    if a == b {
        return Err("the two links are the same one: they contradict nothing".into());
    } else if a.k == b.k {
        shown.proves("the two links are different ones in the same place");
    } else if a.k.checked_add(1) == Some(b.k) && reported.head.previous() != a.hash {
        shown.proves("the reported link follows the recorded one's place, and names another one");
    } else if renewals == [true, true] && signer == other {
        shown.proves("the two links renew the same key");
    } else {
        shown.rests_on(
            "that the start had ended, and a late link was recorded, is the control plane's word",
        );
    }
    Ok(())
}

/// A start or a link that the endpoint says it did not sign.
pub fn disowned(
    evidence: &Evidence,
    identity: &Identity,
    said: Said<'_>,
    shown: &mut Shown,
) -> Result<(), String> {
    let bytes = said.0.ok_or("what was disowned is missing")?;
    match LinkEvidence::from_bytes(bytes) {
        Ok(link) => {
            identity
                .signer(&link)
                .ok_or("the disowned link is not signed by a key of this start")?;
            shown.checked("the disowned link is signed by a key of this start");
        }
        Err(_) => {
            let start = SignedStart::from_bytes(bytes).map_err(|error| error.to_string())?;
            let key = head::public_key(&evidence.signing_key)?;
            start
                .verify(evidence.collision.endpoint_id.as_bytes(), &key)
                .map_err(|error| format!("the disowned start: {error}"))?;
            shown.checked("the disowned start is signed by the endpoint's key");
        }
    }
    shown.rests_on("that it did not sign this is the endpoint's word");
    Ok(())
}

fn link(name: &str, bytes: Option<&[u8]>) -> Result<LinkEvidence, String> {
    let bytes = bytes.ok_or_else(|| format!("the {name} link is missing"))?;
    LinkEvidence::from_bytes(bytes).map_err(|error| format!("the {name} link: {error}"))
}
