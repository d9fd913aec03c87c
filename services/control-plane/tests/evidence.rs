//! Evidence of collisions that no bundle shows, links and starts, as a third party checks it
//! without the service.

use armour_api::{Collision, Evidence, Page, Policy};
use armour_protocol::v2::identity::{body::LinkBody, link::LinkEvidence, start::SignedStart};
use armour_transparency::{evidence, head};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::common::{As, TestEndpoint, World, call, database, replica};

fn beat() -> LinkBody {
    LinkBody::Heartbeat(b"{\"bundles\":[]}".to_vec())
}

/// The consumer's start twice: as a thief has it who copied its memory.
async fn twins(base: &str) -> (World, TestEndpoint) {
    let world = World::new(base, Policy::default()).await;
    let twin = world.consumer.copied();
    let own = world.consumer.begin(Some(7));
    let announced = world.consumer.announce(base, own.start(), "test").await;
    announced.unwrap();
    world.consumer.run(own);
    twin.run(twin.begin(Some(7)));
    (world, twin)
}

/// The evidence of the tenant's one collision, as the API gives it.
async fn evidence_of(world: &World) -> Evidence {
    let page: Page<Collision> = world.operator.get("/v1/collisions").await.unwrap();
    assert_eq!(page.items.len(), 1);
    let path = format!("/v1/collisions/{}/evidence", page.items[0].id);
    world.operator.get(&path).await.unwrap()
}

fn copy(evidence: &Evidence) -> Evidence {
    serde_json::from_value(serde_json::to_value(evidence).unwrap()).unwrap()
}

/// The same in base64 with one bit of byte `at`, from the end, changed.
fn flipped(text: &str, at: usize) -> String {
    let mut bytes = STANDARD.decode(text).unwrap();
    let at = bytes.len() - 1 - at;
    bytes[at] ^= 1;
    STANDARD.encode(bytes)
}

type Alter = fn(&mut Evidence);

/// What is wrong of any evidence.
const ALTERED: [(&str, Alter); 8] = [
    ("nothing reported", |e| e.collision.reported = None),
    ("another endpoint", |e| {
        e.collision.endpoint_id = e.collision.id;
    }),
    ("another role", |e| {
        e.collision.role = armour_api::Role::Producer;
    }),
    ("another long-term key", |e| {
        e.signing_key = e.log_key.clone()
    }),
    ("another log key", |e| e.log_key = e.signing_key.clone()),
    ("another number", |e| e.collision.n += 1),
    ("a reported signature", |e| {
        let reported = e.collision.reported.as_deref().unwrap();
        e.collision.reported = Some(flipped(reported, 0));
    }),
    ("a reported body", |e| {
        let reported = e.collision.reported.as_deref().unwrap();
        e.collision.reported = Some(flipped(reported, 64));
    }),
];

/// What is wrong of two messages that contradict each other.
const OF_TWO: [(&str, Alter); 2] = [
    ("twice the same", |e| {
        e.collision.reported = e.collision.recorded.clone();
    }),
    ("a recorded signature", |e| {
        let recorded = e.collision.recorded.as_deref().unwrap();
        e.collision.recorded = Some(flipped(recorded, 0));
    }),
];

fn refused(evidence: &Evidence, altered: &[(&str, Alter)]) {
    for (name, alter) in altered {
        let mut other = copy(evidence);
        alter(&mut other);
        assert!(evidence::check(&other, None).is_err(), "{name}");
    }
}

/// The log's key that the reader trusts decides.
fn trusts(evidence: &Evidence) {
    let key = head::public_key(&evidence.log_key).unwrap();
    let shown = evidence::check(evidence, Some(&key)).unwrap();
    assert!(
        shown
            .rests_on
            .iter()
            .all(|said| !said.contains("log's key"))
    );
    let other = head::public_key(&evidence.signing_key).unwrap();
    assert!(evidence::check(evidence, Some(&other)).is_err());
}

#[tokio::test]
async fn two_links_in_one_place_prove_a_copy_and_altered_ones_nothing() {
    let base = replica(&database().await).await;
    let (world, twin) = twins(&base).await;
    world.consumer.draw(&base, world.pair.id, None).await;
    let error = twin.send(&base, &twin.sign(beat())).await.unwrap_err();
    assert!(error.is("identity-collided"), "{error}");
    let evidence = evidence_of(&world).await;
    let shown = evidence::check(&evidence, None).unwrap();
    assert!(shown.proven, "{shown:?}");
    trusts(&evidence);
    refused(&evidence, &ALTERED);
    refused(&evidence, &OF_TWO);
    let of_link: [(&str, Alter); 3] = [
        ("another start", |e| e.collision.start = "00".repeat(32)),
        ("no start", |e| e.start = String::new()),
        ("a start's signature", |e| e.start = flipped(&e.start, 0)),
    ];
    refused(&evidence, &of_link);
    // A link of somebody else's start.
    let mut foreign = copy(&evidence);
    let link = world.producer.sign(beat());
    foreign.collision.reported = Some(STANDARD.encode(link.link().evidence().to_bytes()));
    assert!(evidence::check(&foreign, None).is_err());
}

#[tokio::test]
async fn two_renewals_of_one_key_prove_a_copy_and_need_the_renewals() {
    let base = replica(&database().await).await;
    let (world, twin) = twins(&base).await;
    world.consumer.renew(&base).await;
    world.consumer.heartbeat(&base, vec![]).await;
    let error = twin.send(&base, &twin.sign_renewal()).await.unwrap_err();
    assert!(error.is("identity-collided"), "{error}");
    let evidence = evidence_of(&world).await;
    let shown = evidence::check(&evidence, None).unwrap();
    assert!(shown.proven, "{shown:?}");
    assert_eq!(evidence.renewals.len(), 1);
    refused(&evidence, &ALTERED);
    refused(&evidence, &OF_TWO);
    let of_renewal: [(&str, Alter); 2] = [
        ("a renewal's signature", |e| {
            e.renewals[0] = flipped(&e.renewals[0], 0);
        }),
        ("a renewal twice", |e| {
            e.renewals.push(e.renewals[0].clone())
        }),
    ];
    refused(&evidence, &of_renewal);
}

#[tokio::test]
async fn a_disowned_link_rests_on_its_endpoints_word_and_is_downloaded_without_a_bundle() {
    let base = replica(&database().await).await;
    let (world, twin) = twins(&base).await;
    for _ in 0..3 {
        twin.tell(&base, beat()).await;
    }
    let link = world.consumer.sign(beat());
    let answer = world.consumer.send(&base, &link).await.unwrap();
    let disowning = world.consumer.answered(link, &answer).expect("not its own");
    let error = world.consumer.send(&base, &disowning).await.unwrap_err();
    assert!(error.is("identity-collided"), "{error}");
    let evidence = evidence_of(&world).await;
    assert!(evidence.bundle.is_none() && evidence.collision.bundle_id.is_none());
    let shown = evidence::check(&evidence, None).unwrap();
    assert!(!shown.proven && !shown.rests_on.is_empty(), "{shown:?}");
    let recorded = STANDARD.decode(evidence.collision.recorded.as_ref().unwrap());
    assert!(LinkEvidence::from_bytes(&recorded.unwrap()).is_ok());
    refused(&evidence, &ALTERED[1..5]);
    refused(&evidence, &OF_TWO[1..]);
    // Nobody else's tenant downloads it.
    let other = World::new(&base, Policy::default()).await;
    let url = format!("{base}/v1/collisions/{}/evidence", evidence.collision.id);
    let (own, elsewhere) = (world.operator_token(), other.operator_token());
    assert_eq!(call(As::Bearer(&own), "GET", &url, None).await.0, 200);
    assert_eq!(call(As::Bearer(&elsewhere), "GET", &url, None).await.0, 404);
    assert_eq!(call(As::Nobody, "GET", &url, None).await.0, 401);
}

#[tokio::test]
async fn two_starts_of_one_folder_prove_a_copy_and_altered_ones_nothing() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let backup = world.consumer.copied();
    world.consumer.start(&base).await;
    let restored = backup.begin(None);
    let refused_start = backup.announce(&base, restored.start(), "b").await;
    assert!(refused_start.is_err_and(|error| error.is("identity-collided")));
    let evidence = evidence_of(&world).await;
    let shown = evidence::check(&evidence, None).unwrap();
    assert!(shown.proven, "{shown:?}");
    trusts(&evidence);
    refused(&evidence, &ALTERED);
    refused(&evidence, &OF_TWO);
    // A later start of the same folder contradicts nothing.
    let mut honest = copy(&evidence);
    let next = world.consumer.begin(None);
    honest.collision.n = next.start().unverified().counter();
    honest.collision.reported = Some(STANDARD.encode(next.start().to_bytes()));
    assert!(!evidence::check(&honest, None).unwrap().proven);
}

#[tokio::test]
async fn a_start_with_an_invented_past_rests_on_the_control_planes_word() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let thief = world.consumer.copied();
    thief.run(thief.begin(None));
    let invented = thief.begin(None);
    let refused_start = thief.announce(&base, invented.start(), "b").await;
    assert!(refused_start.is_err_and(|error| error.is("identity-collided")));
    let evidence = evidence_of(&world).await;
    let shown = evidence::check(&evidence, None).unwrap();
    assert!(!shown.proven && shown.rests_on.len() > 1, "{shown:?}");
    let reported = STANDARD.decode(evidence.collision.reported.as_ref().unwrap());
    assert!(SignedStart::from_bytes(&reported.unwrap()).is_ok());
    refused(&evidence, &ALTERED);
}
