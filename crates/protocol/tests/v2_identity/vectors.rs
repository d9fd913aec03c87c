//! Writes and checks the published test vectors, `tests/vectors/v2-identity.json`. An
//! independent program, `tests/test_vectors_2_identity.py`, derives them anew.

use armour_protocol::v2::{
    body::BodyHash,
    enclave::LaneMark,
    identity::{
        IdentityError,
        body::{
            Acknowledged, BundleRequest, Disowned, Intrusion, LinkBody, RetiredBundle, Retirement,
        },
        certificate::{Certificate, Certifier, Pin, Role, Subject, UnixTime},
        chain::{Answered, Chain, InFlight},
        mark::{LinkHash, LinkMark},
        start::StartHash,
        starting::{StartRecord, Starting},
    },
};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

use super::control_plane::{ENDPOINT, long_term};
use crate::recording::Recording;

const PARTY: [u8; 32] = [0x21; 32];
const CERTIFIER: [u8; 32] = [0x22; 32];

fn certificates() -> Value {
    let (party, certifying) = (
        SigningKey::from_bytes(&PARTY),
        SigningKey::from_bytes(&CERTIFIER),
    );
    let pin = Pin {
        tenant: [0x10; 16],
        party: [0x14; 16],
        key: party.verifying_key(),
    };
    let subject = Subject {
        tenant: pin.tenant,
        party: pin.party,
        role: Role::Producer,
        endpoint: ENDPOINT,
        signing_key: long_term().verifying_key(),
        kem_key: [0x15; 32],
        not_after: UnixTime(1_800_000_000),
    };
    let until = UnixTime(1_790_000_000);
    let certifier = Certifier::certify(&pin, certifying.verifying_key(), until, &party);
    let direct = Certificate::certify(subject.clone(), None, &party);
    let through = Certificate::certify(subject, Some(certifier), &certifying);
    json!({
        "tenant": hex::encode(pin.tenant),
        "party": hex::encode(pin.party),
        "party_secret": hex::encode(PARTY),
        "certifier_secret": hex::encode(CERTIFIER),
        "direct": hex::encode(direct.to_bytes()),
        "direct_until": 1_800_000_000,
        "through": hex::encode(through.to_bytes()),
        "through_until": until.0,
    })
}

/// A start: the record after it, and the secret of its key.
fn start(record: &[u8], rng: &mut Recording) -> (Starting, Vec<u8>, Value) {
    rng.drawn.clear();
    let record = StartRecord::from_bytes(record).unwrap();
    let made = record.begin(long_term(), rng).unwrap();
    let kept = made.bytes().to_vec();
    let starting = made.kept();
    let shown = json!({
        "key_secret": hex::encode(&rng.drawn[..32]),
        "start": hex::encode(starting.start().to_bytes()),
        "kept": hex::encode(&kept),
    });
    (starting, kept, shown)
}

/// One of each, in the place of nothing a renewal.
fn bodies() -> Vec<Option<LinkBody>> {
    let bundle = [0x12; 16];
    let mark = |lane| LaneMark {
        lane,
        n: 7,
        k: 0,
        hash: BodyHash([0x17; 32]),
    };
    let link = LinkMark {
        k: 4,
        hash: LinkHash([0x18; 32]),
    };
    let items = vec![
        Disowned::Link(link),
        Disowned::Start(StartHash([0x19; 32])),
        Disowned::Ticket {
            bundle,
            mark: mark(0),
        },
        Disowned::Receipt {
            bundle,
            mark: mark(1),
        },
    ];
    let retire = |leaving, bundles| LinkBody::Retire(Retirement { leaving, bundles });
    let retired = RetiredBundle {
        bundle,
        lanes: vec![mark(0), mark(2)],
    };
    let told = [
        LinkBody::Heartbeat(b"a heartbeat".to_vec()),
        LinkBody::Request(vec![BundleRequest {
            pair: [0x11; 16],
            draw: 1,
            replaces: [0x13; 16],
        }]),
        LinkBody::Acknowledge(vec![Acknowledged {
            bundle,
            context: [0x16; 32],
        }]),
        LinkBody::Disown(items),
        LinkBody::EnclaveIntruder(Intrusion::Stranger),
        retire(false, vec![retired]),
        retire(true, Vec::new()),
    ];
    let mut bodies: Vec<_> = told.into_iter().map(Some).collect();
    bodies.insert(2, None);
    bodies
}

fn vector() -> Value {
    let mut rng = Recording::new([9; 32]);
    let fresh = StartRecord::new(ENDPOINT).to_bytes();
    let (_, kept, unanswered) = start(&fresh, &mut rng);
    let (starting, _, first) = start(&kept, &mut rng);
    let started = starting.accepted();
    let answered = started.record.to_bytes();
    let (second, _, next) = start(&answered, &mut rng);
    let about = second.start().unverified().hash();
    let present = started.incarnation.present(about).unwrap();

    let (mut incarnation, mut chain) = (started.incarnation, started.chain);
    let (mut links, mut renewed) = (Vec::new(), String::new());
    let signed = |made: Result<InFlight, (Box<Chain>, IdentityError)>| {
        made.unwrap_or_else(|_| panic!("it can be signed"))
    };
    for body in bodies() {
        let in_flight = match body {
            Some(body) => signed(chain.link(body, &incarnation)),
            None => {
                rng.drawn.clear();
                let made = signed(chain.renew(&incarnation, &mut rng));
                renewed = hex::encode(&rng.drawn[..32]);
                made
            }
        };
        let link = in_flight.link();
        links.push(json!({
            "link": hex::encode(link.to_bytes()),
            "evidence": hex::encode(link.evidence().to_bytes()),
        }));
        let mark = link.mark();
        let Answered::Taken(after) = in_flight.answered(&mark, &mut incarnation) else {
            panic!("it is answered");
        };
        chain = after;
    }
    json!({
        "certificates": certificates(),
        "endpoint": hex::encode(ENDPOINT),
        "long_term_secret": hex::encode(long_term().as_bytes()),
        "fresh": hex::encode(fresh),
        "answered": hex::encode(answered),
        "starts": [unanswered, first, next],
        "presence": hex::encode(present.to_bytes()),
        "renewed_secret": renewed,
        "links": links,
    })
}

#[test]
fn published_vectors_of_identities_are_what_this_code_does() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/v2-identity.json"
    );
    let text = serde_json::to_string_pretty(&vector()).unwrap() + "\n";
    if std::env::var_os("ARMOUR_UPDATE_VECTORS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap();
    assert!(published == text, "{path} differs; see `make vectors`");
}
