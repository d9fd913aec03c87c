//! Tickets and receipts of a lane.

use armour_api::{BundleEnd, Collision, CollisionKind, EvidenceBundle, Role};
use armour_protocol::v2::{
    body::{Body, BodyHash, Kind},
    context::{Binding, Context, End},
    ledger::{Run, Testimony},
    message::Evidence,
    suite::Suite,
};

use super::{
    identity::{Identity, decode},
    line::{self, Line, Place},
    shown::{Said, Shown, both},
};
use crate::head;

/// Checks what is recorded of a lane's exchange, and what was reported.
pub fn check(
    collision: &Collision,
    bundle: &EvidenceBundle,
    identity: &Identity,
    said: Said<'_>,
    shown: &mut Shown,
) -> Result<(), String> {
    let lane = collision.lane.and_then(|lane| u16::try_from(lane).ok());
    let place = Place {
        context: context(bundle, collision, identity)?,
        lane: lane.ok_or("the collision does not say of which lane it is")?,
        n: collision.n,
    };
    shown.checked("the bundle names a key of this start");
    if let Some(k) = collision.k {
        return line::check(collision, &Line { place, k }, said, shown);
    }
    match collision.kind {
        CollisionKind::Fork => two(&place, said, Kind::Ticket, shown),
        CollisionKind::ProducerClone => two(&place, said, Kind::Receipt, shown),
        CollisionKind::ForeignReceipt => foreign(&place, said, shown),
        CollisionKind::AfterRetirement => {
            let reported = said.1.ok_or("what was reported is missing")?;
            place.body("reported", reported, signed_by(collision.role), shown)?;
            shown.rests_on(
                "that its signer had retired the bundle, and where its lanes ended, is the \
                 control plane's word",
            );
            Ok(())
        }
        CollisionKind::Disowned => {
            let kind = signed_by(collision.role);
            let recorded = said.0.ok_or("what was disowned is missing")?;
            place.body("disowned", recorded, kind, shown)?;
            shown.rests_on("that it did not sign this is the endpoint's word");
            Ok(())
        }
        CollisionKind::Link | CollisionKind::Start => Err("it is of no lane".into()),
    }
}

/// What this end signs.
fn signed_by(role: Role) -> Kind {
    match role {
        Role::Consumer => Kind::Ticket,
        Role::Producer => Kind::Receipt,
    }
}

/// Two bodies in one place that name the same one before them.
fn two(place: &Place, said: Said<'_>, kind: Kind, shown: &mut Shown) -> Result<(), String> {
    let (recorded, reported) = both(said)?;
    let testimonies = (recorded, reported);
    let recorded = place.body("recorded", recorded, kind, shown)?;
    let reported = place.body("reported", reported, kind, shown)?;
    if recorded == reported {
        return Err("the two messages are the same one: they contradict nothing".into());
    }
    if recorded.previous != reported.previous && !place.follow_one(testimonies) {
        return Err("the two messages do not follow the same one".into());
    }
    shown.proves(match kind {
        Kind::Receipt => {
            "two different receipts for one ticket: two holders of the producer's state"
        }
        _ => "two different tickets in one place: two holders of the consumer's state",
    });
    Ok(())
}

/// A ticket that names another receipt than the producer's.
fn foreign(place: &Place, said: Said<'_>, shown: &mut Shown) -> Result<(), String> {
    let reported = said.1.ok_or("the reported run is missing")?;
    let Ok(Testimony::Within(run)) = Testimony::from_bytes(reported) else {
        return Err("what was reported is no run of a lane".into());
    };
    let named = named(place, &run)?;
    let n = place.n;
    match said.0 {
        Some(recorded) => {
            let receipt = place.body("recorded", recorded, Kind::Receipt, shown)?;
            if named == BodyHash::after(&receipt) {
                return Err(
                    "the ticket names the recorded receipt: they contradict nothing".into(),
                );
            }
            shown.checked(format!(
                "the consumer signed a ticket that names another receipt {n} than the producer's"
            ));
        }
        None => shown.rests_on(format!(
            "that the producer gave another receipt {n} is the control plane's word"
        )),
    }
    shown.rests_on("that the consumer did not show that receipt is the control plane's word");
    Ok(())
}

/// What the ticket after the exchange names.
fn named(place: &Place, run: &Run) -> Result<BodyHash, String> {
    let exchanges = run
        .verified(&place.context)
        .map_err(|error| format!("the reported run: {error}"))?;
    let next = place.n.checked_add(1);
    let next = exchanges
        .iter()
        .find(|one| Some(one.ticket.header.n) == next);
    match next {
        Some(next) if run.lane == place.lane => {
            // Taken apart, it may name the receipt and a sub-receipt.
            let before = run
                .before
                .filter(|_| Some(run.first) == place.n.checked_add(1));
            let receipt = before.and_then(|before| {
                let bodies = before.bodies(&place.context, run.lane, run.first);
                bodies.ok().map(|(receipt, _)| receipt)
            });
            Ok(receipt.map_or(next.ticket.previous, |receipt| BodyHash::after(&receipt)))
        }
        _ => Err("the reported run holds no ticket that names the receipt".into()),
    }
}

impl Place {
    /// Whether two tickets of this place name one receipt, of whose streams they name more or
    /// fewer sub-receipts.
    fn follow_one(&self, (recorded, reported): (&[u8], &[u8])) -> bool {
        let receipt = |bytes| match Testimony::from_bytes(bytes) {
            Ok(Testimony::Within(run)) if run.first == self.n => {
                let bodies = run.before?.bodies(&self.context, run.lane, run.first);
                Some(bodies.ok()?.0)
            }
            _ => None,
        };
        receipt(recorded).is_some() && receipt(recorded) == receipt(reported)
    }

    /// The ticket or receipt of this place, whose sender signed it.
    fn body(
        &self,
        name: &str,
        bytes: &[u8],
        kind: Kind,
        shown: &mut Shown,
    ) -> Result<Body, String> {
        let (what, who) = match kind {
            Kind::Receipt => ("receipt", "producer"),
            _ => ("ticket", "consumer"),
        };
        // Alone, with its own proof, it may stand as such.
        let testimony = match Evidence::from_bytes(bytes) {
            Ok(evidence) => Ok(Testimony::Alone(evidence)),
            Err(_) => Testimony::from_bytes(bytes),
        };
        let body = testimony
            .and_then(|said| said.body(&self.context, self.lane, kind, self.n))
            .map_err(|error| format!("the {name} {what} of the {who}: {error}"))?;
        shown.checked(format!(
            "the {name} {what}, number {} of lane {}, is signed by the {who}'s key",
            self.n, self.lane
        ));
        Ok(body)
    }
}

/// The context, in which the collided end is the one whose start was checked.
fn context(
    bundle: &EvidenceBundle,
    collision: &Collision,
    identity: &Identity,
) -> Result<Context, String> {
    let policy = decode(&bundle.policy_hash)?;
    let binding = Binding {
        suite: Suite::from_u8(bundle.suite).map_err(|error| error.to_string())?,
        tenant: *bundle.tenant_id.as_bytes(),
        pair: *bundle.pair_id.as_bytes(),
        bundle: *bundle.bundle_id.as_bytes(),
        draw: bundle.draw,
        policy: policy
            .try_into()
            .map_err(|_| "the policy's hash is not 32 bytes")?,
        consumer: end(&bundle.consumer)?,
        producer: end(&bundle.producer)?,
    };
    let collided = match collision.role {
        Role::Consumer => &binding.consumer,
        Role::Producer => &binding.producer,
    };
    if collided.endpoint != *collision.endpoint_id.as_bytes() || !identity.has(&collided.key) {
        return Err("the bundle does not name a key of this start".into());
    }
    Ok(Context::new(binding))
}

fn end(end: &BundleEnd) -> Result<End, String> {
    Ok(End {
        party: *end.party_id.as_bytes(),
        endpoint: *end.endpoint_id.as_bytes(),
        key: head::public_key(&end.incarnation_key)?,
    })
}
