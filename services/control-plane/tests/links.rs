//! Chains of links: each is taken once, and its answer is the same however often it comes.

use armour_api::{
    Bundle, BundleState, Endpoint, EndpointState, Heartbeat, LaneCursor, LinkOutcome, Page, Policy,
    Role, SendLink,
};
use armour_protocol::v2::{
    body::BodyHash,
    enclave::LaneMark,
    envelope,
    identity::{
        body::{Acknowledged, BundleRequest, Disowned, Intrusion, LinkBody, NO_BUNDLE},
        certificate::{Certificate, Role as CertifiedRole, Subject, UnixTime},
        mark::{LinkHash, LinkMark},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::common::{As, TestEndpoint, World, bound, call, context, database, enrol, replica};

async fn new_world() -> (String, World) {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    (base, world)
}

async fn state_of(world: &World, endpoint: &TestEndpoint) -> EndpointState {
    let path = format!("/v1/endpoints/{}", endpoint.id);
    let endpoint: Endpoint = world.operator.get(&path).await.unwrap();
    endpoint.state
}

async fn bundles(world: &World) -> Vec<Bundle> {
    let page: Page<Bundle> = world.operator.get("/v1/bundles").await.unwrap();
    page.items
}

async fn bundle_state(world: &World, bundle: Uuid) -> BundleState {
    let found = bundles(world)
        .await
        .into_iter()
        .find(|one| one.id == bundle);
    found.unwrap().state
}

fn beat() -> LinkBody {
    LinkBody::Heartbeat(b"{\"bundles\":[]}".to_vec())
}

fn request(world: &World, draw: u64) -> LinkBody {
    LinkBody::Request(vec![BundleRequest {
        pair: *world.pair.id.as_bytes(),
        draw,
        replaces: NO_BUNDLE,
    }])
}

/// The consumer's start twice: as a thief has it who copied its memory.
async fn twins(base: &str) -> (World, TestEndpoint) {
    let world = World::new(base, Policy::default()).await;
    let twin = world.consumer.copied();
    let own = world.consumer.begin(Some(7));
    world
        .consumer
        .announce(base, own.start(), "test")
        .await
        .unwrap();
    world.consumer.run(own);
    let copied = twin.begin(Some(7));
    twin.run(copied);
    assert_eq!(twin.start_hash(), world.consumer.start_hash());
    (world, twin)
}

#[tokio::test]
async fn a_link_that_comes_again_mints_once_whichever_replica_it_comes_to() {
    let database = database().await;
    let (one, two) = (replica(&database).await, replica(&database).await);
    let world = World::new(&one, Policy::default()).await;
    let consumer = &world.consumer;
    let link = consumer.sign(request(&world, 1));
    let sent = (0..8).map(|n| consumer.send(if n % 2 == 0 { &one } else { &two }, &link));
    let answers = futures::future::join_all(sent).await;
    let first = answers[0].as_ref().unwrap();
    for answer in &answers {
        assert_eq!(answer.as_ref().unwrap(), first);
    }
    assert_eq!(bundles(&world).await.len(), 1);
    assert!(consumer.answered(link, first).is_none());
    // An earlier one, which was under way all the time, is answered with the head.
    let early = consumer.sign(beat());
    let answer = consumer.send(&one, &early).await.unwrap();
    let copy = consumer.send(&one, &early).await.unwrap();
    assert_eq!(copy.head, answer.head);
    let early_bytes = early.link().to_bytes();
    assert!(consumer.answered(early, &answer).is_none());
    consumer.heartbeat(&one, vec![]).await;
    let again = SendLink {
        tenant_id: world.tenant,
        link: STANDARD.encode(early_bytes),
    };
    let client = armour_client::Client::new(&two, "").unwrap();
    let below = client.send_link(&again).await.unwrap();
    assert!(below.outcome.is_none() && below.head.k == answer.head.k + 1);
    assert_eq!(state_of(&world, consumer).await, EndpointState::Active);
}

#[tokio::test]
async fn another_link_in_the_heads_place_ends_the_identity() {
    let base = replica(&database().await).await;
    let (world, twin) = twins(&base).await;
    let consumer = &world.consumer;
    let grant = consumer.draw(&base, world.pair.id, None).await;
    let error = twin.send(&base, &twin.sign(beat())).await.unwrap_err();
    assert!(error.is("identity-collided"), "{error}");
    assert_eq!(state_of(&world, consumer).await, EndpointState::Collided);
    assert_eq!(
        bundle_state(&world, grant.bundle.id).await,
        BundleState::Disconnected
    );
    // Neither of them does anything any more.
    let link = consumer.sign(beat());
    let error = consumer.send(&base, &link).await.unwrap_err();
    assert!(error.is("identity-collided"), "{error}");
    let error = consumer.client(&base).endpoint().await.unwrap_err();
    assert!(error.is("identity-collided"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_is_shown_a_head_of_a_thiefs_disowns_it() {
    let base = replica(&database().await).await;
    let (world, twin) = twins(&base).await;
    let consumer = &world.consumer;
    // The thief is ahead of the owner.
    for _ in 0..3 {
        twin.tell(&base, beat()).await;
    }
    let link = consumer.sign(beat());
    let answer = consumer.send(&base, &link).await.unwrap();
    assert_eq!(answer.head.k, 3);
    let disowning = consumer.answered(link, &answer).expect("not its own");
    let error = consumer.send(&base, &disowning).await.unwrap_err();
    assert!(error.is("identity-collided"), "{error}");
    assert_eq!(state_of(&world, consumer).await, EndpointState::Collided);
}

#[tokio::test]
async fn a_link_with_a_gap_before_it_is_not_taken() {
    let (base, world) = new_world().await;
    let twin = world.consumer.copied();
    let own = world.consumer.begin(Some(8));
    world
        .consumer
        .announce(&base, own.start(), "test")
        .await
        .unwrap();
    twin.run(twin.begin(Some(8)));
    world.consumer.run(own);
    // Its first link is never sent.
    let lost = twin.sign(beat());
    let mark = lost.link().mark();
    let answer = armour_api::LinkAnswer {
        head: armour_api::ChainHead {
            k: mark.k,
            hash: STANDARD.encode(mark.hash.0),
        },
        ended: false,
        outcome: None,
    };
    assert!(twin.answered(lost, &answer).is_none());
    let second = twin.sign(beat());
    let answer = twin.send(&base, &second).await.unwrap();
    assert!(answer.head.k == 0 && answer.outcome.is_none() && !answer.ended);
}

#[tokio::test]
async fn a_link_of_nobodys_is_refused_and_changes_nothing() {
    let (base, world) = new_world().await;
    let consumer = &world.consumer;
    let link = consumer.sign(beat());
    let mut bytes = link.link().to_bytes();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let url = format!("{base}/v1/endpoint/links");
    let send = async |tenant: Uuid, bytes: &[u8]| {
        let body = json!({ "tenant_id": tenant, "link": STANDARD.encode(bytes) });
        call(As::Nobody, "POST", &url, Some(&body)).await.0
    };
    assert_eq!(send(world.tenant, &bytes).await, 401);
    assert_eq!(send(world.tenant, &bytes[1..]).await, 400);
    // Of an endpoint that is another tenant's, or nowhere: the same.
    let other = World::new(&base, Policy::default()).await;
    assert_eq!(send(other.tenant, &link.link().to_bytes()).await, 409);
    assert_eq!(send(Uuid::nil(), &link.link().to_bytes()).await, 409);
    consumer.sent(&base, link).await;
}

#[tokio::test]
async fn a_draw_whose_number_was_used_is_refused() {
    let (base, world) = new_world().await;
    let consumer = &world.consumer;
    consumer.set_draws(world.pair.id, 6);
    let bundle = consumer.try_draw(&base, world.pair.id).await.unwrap();
    for draws in [6, 0, 2] {
        consumer.set_draws(world.pair.id, draws);
        let refused = consumer.try_draw(&base, world.pair.id).await.unwrap_err();
        assert_eq!(refused.kind(), Some("draw-over"));
    }
    assert_eq!(bundle_state(&world, bundle).await, BundleState::Active);
    let own = consumer.client(&base).endpoint().await.unwrap();
    assert_eq!(own.draws.len(), 1);
    assert_eq!(
        (own.draws[0].pair_id, own.draws[0].draws),
        (world.pair.id, 7)
    );
    consumer.set_draws(world.pair.id, 7);
    let next = consumer.try_draw(&base, world.pair.id).await.unwrap();
    assert_eq!(bundle_state(&world, bundle).await, BundleState::Superseded);
    assert_eq!(bundle_state(&world, next).await, BundleState::Active);
}

#[tokio::test]
async fn each_item_of_a_request_gets_its_own_verdict() {
    let (base, world) = new_world().await;
    let consumer = &world.consumer;
    let draw = |pair: Uuid, draw| BundleRequest {
        pair: *pair.as_bytes(),
        draw,
        replaces: NO_BUNDLE,
    };
    let answer = consumer
        .tell(
            &base,
            LinkBody::Request(vec![
                draw(Uuid::nil(), 1),
                draw(world.pair.id, 1),
                draw(world.pair.id, 1),
            ]),
        )
        .await;
    let Some(LinkOutcome::Bundles { items }) = answer.outcome else {
        panic!("{:?}", answer.outcome);
    };
    let kinds: Vec<_> = items
        .iter()
        .map(|item| item.problem.as_ref().and_then(|problem| problem.kind()))
        .collect();
    assert_eq!(kinds, [Some("not-found"), None, Some("draw-over")]);
    // A producer draws nothing.
    let refused = world.producer.try_draw(&base, world.pair.id).await;
    assert_eq!(refused.unwrap_err().kind(), Some("not-found"));
}

#[tokio::test]
async fn no_bundle_is_minted_for_a_producer_that_does_not_live() {
    let (base, world) = new_world().await;
    assert!(world.producer.retire(&base, &[], true).await.ended);
    let refused = world.consumer.try_draw(&base, world.pair.id).await;
    assert_eq!(refused.unwrap_err().kind(), Some("no-producer"));
    // Once it has started anew the same number is good.
    world.producer.serve(&base).await;
    world.consumer.draw_after(&base, world.pair.id, 0).await;
}

#[tokio::test]
async fn a_bundle_names_the_keys_of_both_starts_and_opens_for_each() {
    let (base, world) = new_world().await;
    let (consumer, producer) = (&world.consumer, &world.producer);
    producer.renew(&base).await;
    let grant = consumer.draw(&base, world.pair.id, None).await;
    let bound_to = context(&grant);
    let ends = [
        (&grant.consumer, consumer, 0),
        (&grant.producer, producer, 1),
    ];
    for (end, endpoint, renewals) in ends {
        assert_eq!(end.endpoint_id, endpoint.id);
        assert_eq!(
            end.incarnation_key,
            STANDARD.encode(endpoint.current_key().as_bytes())
        );
        assert_eq!(end.renewals.len(), renewals);
        assert_eq!(
            end.signing_key,
            STANDARD.encode(endpoint.key.verifying_key().as_bytes())
        );
    }
    let client = producer.client(&base);
    assert_eq!(client.pending_bundles().await.unwrap(), [grant.bundle.id]);
    let other = client.bundle_grant(grant.bundle.id, None).await.unwrap();
    let open = |grant: &armour_api::BundleGrant, endpoint: &TestEndpoint| {
        let sealed = STANDARD.decode(grant.sealed_secret.as_ref().unwrap());
        envelope::open(&endpoint.hpke_secret(), &bound_to, &sealed.unwrap()).unwrap()
    };
    assert_eq!(
        open(&grant, consumer).as_bytes(),
        open(&other, producer).as_bytes()
    );
    // Later changes of the policy are not this bundle's.
    let path = format!("/v1/pairs/{}/policy", world.pair.id);
    let policy = json!({ "max_lanes": 3 });
    let url = format!("{base}{path}");
    let token = world.operator_token();
    let (status, ..) = call(As::Bearer(&token), "PUT", &url, Some(&policy)).await;
    assert_eq!(status, 200);
    let again = client.bundle_grant(grant.bundle.id, None).await.unwrap();
    assert_eq!(again.policy, grant.policy);
    assert_eq!(context(&again).hash(), bound_to.hash());
}

#[tokio::test]
async fn an_acknowledged_bundle_has_no_secret_left_and_a_wrong_context_leaves_it() {
    let (base, world) = new_world().await;
    let (consumer, producer) = (&world.consumer, &world.producer);
    let grant = consumer.draw(&base, world.pair.id, None).await;
    let wrong = Acknowledged {
        bundle: *grant.bundle.id.as_bytes(),
        context: [0; 32],
    };
    let problem = async |endpoint: &TestEndpoint, body: LinkBody| {
        let Some(LinkOutcome::Items { items }) = endpoint.tell(&base, body).await.outcome else {
            panic!("items");
        };
        items.into_iter().next().unwrap().problem
    };
    let said = problem(consumer, LinkBody::Acknowledge(vec![wrong])).await;
    assert_eq!(said.unwrap().kind(), Some("invalid-request"));
    let unknown = Acknowledged {
        bundle: [9; 16],
        context: [0; 32],
    };
    let said = problem(consumer, LinkBody::Acknowledge(vec![unknown])).await;
    assert_eq!(said.unwrap().kind(), Some("not-found"));
    let client = consumer.client(&base);
    let again = client.bundle_grant(grant.bundle.id, None).await.unwrap();
    assert!(again.sealed_secret.is_some());
    consumer.acknowledge(&base, &grant).await;
    let again = client.bundle_grant(grant.bundle.id, None).await.unwrap();
    assert!(again.sealed_secret.is_none());
    assert!(client.pending_bundles().await.unwrap().is_empty());
    // The other end's is still there.
    let other = producer.client(&base);
    assert_eq!(other.pending_bundles().await.unwrap(), [grant.bundle.id]);
}

#[tokio::test]
async fn a_renewed_key_signs_what_follows_and_its_bundles_go_on() {
    let (base, world) = new_world().await;
    let consumer = &world.consumer;
    let grant = consumer.draw(&base, world.pair.id, None).await;
    let token = consumer.access_token(&base).await;
    let url = format!("{base}/v1/endpoint");
    let proof = consumer.proof("GET", &url, Some(&token));
    let old = consumer.current_key();
    consumer.renew(&base).await;
    assert_ne!(consumer.current_key(), old);
    consumer.heartbeat(&base, vec![]).await;
    assert_eq!(
        bundle_state(&world, grant.bundle.id).await,
        BundleState::Active
    );
    // The token that the key before is bound to still serves for a while.
    let answer = reqwest::Client::new()
        .get(&url)
        .header("authorization", format!("DPoP {token}"))
        .header("dpop", proof)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let next = consumer.draw(&base, world.pair.id, None).await;
    assert_eq!(next.consumer.renewals.len(), 1);
}

#[tokio::test]
async fn a_second_renewal_of_a_key_ends_the_identity() {
    let base = replica(&database().await).await;
    let (world, twin) = twins(&base).await;
    world.consumer.renew(&base).await;
    world.consumer.heartbeat(&base, vec![]).await;
    let error = twin.send(&base, &twin.sign_renewal()).await.unwrap_err();
    assert!(error.is("identity-collided"), "{error}");
    assert_eq!(
        state_of(&world, &world.consumer).await,
        EndpointState::Collided
    );
}

#[tokio::test]
async fn a_retired_bundle_keeps_its_marks_and_the_other_end_is_told() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let consumer = &world.consumer;
    let grant = consumer.draw(&base, world.pair.id, None).await;
    let bundle = grant.bundle.id;
    let marks = |n| {
        vec![LaneMark {
            lane: 3,
            n,
            k: 0,
            hash: BodyHash([4; 32]),
        }]
    };
    let answer = consumer.retire(&base, &[(bundle, marks(9))], false).await;
    assert!(!answer.ended);
    assert_eq!(bundle_state(&world, bundle).await, BundleState::Retired);
    // The first word stays.
    consumer.retire(&base, &[(bundle, marks(12))], false).await;
    let kept: Vec<(String, i32, i64)> =
        sqlx::query_as("SELECT side, lane, n FROM bundle_retirements")
            .fetch_all(&mut bound(&database, world.tenant).await)
            .await
            .unwrap();
    assert_eq!(kept, [("consumer".to_owned(), 3, 9)]);
    // The producer may say how far it came, too, and installs it no more.
    let producer = &world.producer;
    let ack = producer.heartbeat(&base, vec![bundle]).await;
    assert_eq!(ack.bundles[0].state, BundleState::Retired);
    producer.retire(&base, &[(bundle, marks(8))], false).await;
    assert!(
        producer
            .client(&base)
            .pending_bundles()
            .await
            .unwrap()
            .is_empty()
    );
    // Whoever gave it up is in the log; the other end's list is a matter of course.
    let entries: Value = world
        .operator
        .get("/v1/audit?action=bundle.retire")
        .await
        .unwrap();
    assert_eq!(entries["items"].as_array().unwrap().len(), 1);
    // A next one is drawn as if nothing were.
    consumer.draw(&base, world.pair.id, None).await;
}

#[tokio::test]
async fn an_endpoint_that_leaves_is_not_lost_and_its_bundles_end() {
    let (base, world) = new_world().await;
    let consumer = &world.consumer;
    let grant = consumer.draw(&base, world.pair.id, None).await;
    let answer = consumer.retire(&base, &[], true).await;
    assert!(answer.ended);
    assert_eq!(
        bundle_state(&world, grant.bundle.id).await,
        BundleState::Superseded
    );
    assert_eq!(state_of(&world, consumer).await, EndpointState::Active);
    let error = consumer.client(&base).endpoint().await.unwrap_err();
    assert!(error.is("start-ended"), "{error}");
    // The same link again gets the same answer.
    consumer.start(&base).await;
    consumer.heartbeat(&base, vec![]).await;
}

#[tokio::test]
async fn an_intruder_at_an_enclave_ends_its_bundles_and_people_are_told() {
    let (base, world) = new_world().await;
    let grant = world.consumer.draw(&base, world.pair.id, None).await;
    let body = LinkBody::EnclaveIntruder(Intrusion::Stranger);
    let answer = world.producer.tell(&base, body).await;
    assert_eq!(answer.outcome, Some(LinkOutcome::Done));
    assert_eq!(
        bundle_state(&world, grant.bundle.id).await,
        BundleState::Disconnected
    );
    let told: Value = world
        .operator
        .get("/v1/audit?action=endpoint.enclave-intruder")
        .await
        .unwrap();
    assert_eq!(told["items"][0]["detail"]["what"], "stranger");
}

#[tokio::test]
async fn what_is_disowned_but_not_recorded_accuses_nobody() {
    let (base, world) = new_world().await;
    let consumer = &world.consumer;
    let grant = consumer.draw(&base, world.pair.id, None).await;
    let mark = LaneMark {
        lane: 0,
        n: 1,
        k: 0,
        hash: BodyHash([1; 32]),
    };
    let bundle = *grant.bundle.id.as_bytes();
    let link = LinkMark {
        k: 99,
        hash: LinkHash([1; 32]),
    };
    let body = LinkBody::Disown(vec![
        Disowned::Link(link),
        Disowned::Start(world.producer.start_hash()),
        Disowned::Ticket { bundle, mark },
        Disowned::Receipt { bundle, mark },
    ]);
    let answer = consumer.tell(&base, body).await;
    let Some(LinkOutcome::Items { items }) = answer.outcome else {
        panic!("{:?}", answer.outcome);
    };
    for item in items {
        assert_eq!(item.problem.unwrap().kind(), Some("not-recorded"));
    }
    assert_eq!(state_of(&world, consumer).await, EndpointState::Active);
}

#[tokio::test]
async fn a_certificate_reaches_the_peer_and_another_endpoints_is_refused() {
    let (base, world) = new_world().await;
    let producer = &world.producer;
    let party = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
    let grant = world.consumer.draw(&base, world.pair.id, None).await;
    let subject = Subject {
        tenant: *world.tenant.as_bytes(),
        party: *grant.producer.party_id.as_bytes(),
        role: CertifiedRole::Producer,
        endpoint: *producer.id.as_bytes(),
        signing_key: producer.key.verifying_key(),
        kem_key: STANDARD
            .decode(&grant.producer.kem_key)
            .unwrap()
            .try_into()
            .unwrap(),
        not_after: UnixTime(4_000_000_000),
    };
    let certificate = Certificate::certify(subject, None, &party).to_bytes();
    let put = async |id: Uuid, certificate: &[u8]| {
        let url = format!("{base}/v1/endpoints/{id}/certificate");
        let body = json!({ "certificate": STANDARD.encode(certificate) });
        let token = world.operator_token();
        call(As::Bearer(&token), "PUT", &url, Some(&body)).await.0
    };
    assert_eq!(put(world.consumer.id, &certificate).await, 400);
    assert_eq!(put(producer.id, &certificate[1..]).await, 400);
    assert_eq!(put(producer.id, &certificate).await, 200);
    let client = world.consumer.client(&base);
    let grant = client.bundle_grant(grant.bundle.id, None).await.unwrap();
    assert_eq!(
        grant.producer.certificate,
        Some(STANDARD.encode(certificate))
    );
}

#[tokio::test]
async fn no_bundle_is_minted_to_a_producers_endpoint_that_has_yet_to_start() {
    let (base, world) = new_world().await;
    let party = world.pair.producer_id;
    let second = enrol(&world.operator, Role::Producer, party).await;
    for _ in 0..2 {
        let grant = world.consumer.draw(&base, world.pair.id, None).await;
        assert_eq!(grant.producer.endpoint_id, world.producer.id);
    }
    // One more is with whom the consumer has none yet.
    second.serve(&base).await;
    let (drawn, wanted) = world
        .consumer
        .try_draw_for(&base, world.pair.id, None)
        .await;
    assert_eq!(wanted, 2);
    let client = world.consumer.client(&base);
    let grant = client.bundle_grant(drawn.unwrap(), None).await.unwrap();
    assert_eq!(grant.producer.endpoint_id, second.id);
}

#[tokio::test]
async fn a_heartbeat_that_names_more_than_1000_bundles_is_not_refused() {
    let (base, world) = new_world().await;
    let grant = world.consumer.draw(&base, world.pair.id, None).await;
    let mut named: Vec<Uuid> = (0..1_500).map(Uuid::from_u128).collect();
    named.push(grant.bundle.id);
    let ack = world.consumer.heartbeat(&base, named).await;
    assert_eq!(ack.bundles.len(), 1_501);
    assert_eq!(ack.bundles[0].state, BundleState::Disconnected);
    assert_eq!(ack.bundles[1_500].state, BundleState::Active);
}

/// A lane of a bundle that its consumer reported, with so many others like it.
async fn with_lanes(world: &World, database: &str, lanes: i32) -> Uuid {
    let bundle = world.bundle().await;
    let report = bundle.report(&bundle.plain(0, 1));
    let client = world.consumer.client(&world.base);
    client.report(vec![report]).await.unwrap();
    let mut connection = bound(database, world.tenant).await;
    sqlx::query(
        "INSERT INTO lanes (tenant_id, bundle_id, lane, last_at, head_n, ticket, receipt)
         SELECT tenant_id, bundle_id, i, last_at, head_n, ticket, receipt
         FROM lanes, generate_series(1, $2) AS i WHERE bundle_id = $1",
    )
    .bind(bundle.id)
    .bind(lanes - 1)
    .execute(&mut connection)
    .await
    .unwrap();
    bundle.id
}

#[tokio::test]
async fn one_heartbeat_is_told_of_4096_lanes_at_most_and_the_next_goes_on_there() {
    const LANES: i32 = 5_000;
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let first = with_lanes(&world, &database, LANES).await;
    let second = with_lanes(&world, &database, LANES).await;
    let mut told = Vec::new();
    let mut sizes = Vec::new();
    let mut heartbeat = Heartbeat {
        bundles: vec![first, Uuid::nil(), second],
        ..Heartbeat::default()
    };
    loop {
        let ack = world.consumer.beat(&base, &heartbeat).await;
        let heads = ack.bundles.iter();
        let heads = heads.flat_map(|one| one.lanes.iter().map(|head| (one.id, head.lane)));
        let heads: Vec<(Uuid, u32)> = heads.collect();
        sizes.push(heads.len());
        told.extend(heads);
        let Some(last) = ack.more else { break };
        let from = heartbeat.bundles.iter();
        let from = from.skip_while(|id| **id != last.bundle_id);
        heartbeat = Heartbeat {
            bundles: from.copied().collect(),
            after: Some(last),
            ..Heartbeat::default()
        };
    }
    assert_eq!(sizes, [4_096, 4_096, 10_000 - 2 * 4_096]);
    let all = [first, second].map(|id| (0..LANES as u32).map(move |lane| (id, lane)));
    assert_eq!(told, all.into_iter().flatten().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_heartbeat_that_names_a_bundle_twice_is_told_nothing_of_it() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let bundle = with_lanes(&world, &database, 10).await;
    let elsewhere = LaneCursor {
        bundle_id: Uuid::from_u128(1),
        lane: 0,
    };
    for (bundles, after) in [
        (vec![bundle; 1_600], None),
        (vec![bundle], Some(elsewhere)),
        (vec![], Some(elsewhere)),
    ] {
        let heartbeat = Heartbeat {
            bundles,
            after,
            ..Heartbeat::default()
        };
        let body = LinkBody::Heartbeat(serde_json::to_vec(&heartbeat).unwrap());
        let outcome = world.consumer.tell(&base, body).await.outcome;
        let Some(LinkOutcome::Items { items }) = outcome else {
            panic!("{outcome:?}");
        };
        let problem = items[0].problem.as_ref().unwrap();
        assert_eq!(problem.kind(), Some("invalid-request"));
    }
}

#[tokio::test]
async fn a_heartbeat_of_some_bundles_acknowledges_the_end_of_no_others() {
    let (base, world) = new_world().await;
    let first = world.bundle().await.id;
    let second = world.bundle().await.id;
    let path = format!("/v1/pairs/{}/disconnect", world.pair.id);
    let _: Value = world
        .operator
        .post(&path, &json!({ "reason": "a test" }))
        .await
        .unwrap();
    let some = |from, to| Heartbeat {
        from,
        to,
        ..Heartbeat::default()
    };
    let obeyed = async |bundle: Uuid| {
        let path = format!("/v1/bundles/{bundle}/obediences");
        let list: Value = world.operator.get(&path).await.unwrap();
        list.as_array().unwrap().len()
    };
    world.consumer.beat(&base, &some(Some(second), None)).await;
    assert_eq!((obeyed(first).await, obeyed(second).await), (0, 1));
    world.consumer.beat(&base, &some(None, Some(second))).await;
    assert_eq!((obeyed(first).await, obeyed(second).await), (1, 1));
}

#[tokio::test]
async fn a_link_that_retires_every_lane_a_bundle_can_have_is_taken() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let bundle = world.bundle().await.id;
    let marks = (0..=u16::MAX).map(|lane| LaneMark {
        lane,
        n: 0,
        k: 0,
        hash: BodyHash([1; 32]),
    });
    let marks: Vec<LaneMark> = marks.collect();
    let answer = world
        .consumer
        .retire(&base, &[(bundle, marks)], false)
        .await;
    let Some(LinkOutcome::Items { items }) = answer.outcome else {
        panic!("items");
    };
    assert!(items[0].problem.is_none(), "{items:?}");
    let mut connection = bound(&database, world.tenant).await;
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM bundle_retirements")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept, 65_536);
    // No larger body, and on no other route one of this size.
    let url = |path: &str| format!("{base}{path}");
    for (path, mebibytes) in [("/v1/endpoint/links", 7), ("/v1/endpoint/starts", 2)] {
        let body = json!({ "link": "x".repeat(mebibytes << 20) });
        let refused = call(As::Nobody, "POST", &url(path), Some(&body)).await;
        assert_eq!(refused.0, 413, "{path}");
    }
    world.consumer.heartbeat(&base, vec![]).await;
}

/// As if the start's last renewal was so long ago.
async fn renewed_before(database: &str, world: &World, minutes: i32) {
    let mut connection = bound(database, world.tenant).await;
    sqlx::query("UPDATE endpoint_keys SET since = since - make_interval(mins => $1)")
        .bind(minutes)
        .execute(&mut connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_renewal_within_an_hour_of_the_last_is_not_taken_and_one_that_comes_again_is() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let consumer = &world.consumer;
    // Its answer is lost, and it comes again.
    let renewal = consumer.sign_renewal();
    let first = consumer.send(&base, &renewal).await.unwrap();
    assert_eq!(consumer.sent(&base, renewal).await, first);
    renewed_before(&database, &world, 59).await;
    let early = consumer.sign_renewal();
    let url = format!("{base}/v1/endpoint/links");
    let body = json!({
        "tenant_id": world.tenant,
        "link": STANDARD.encode(early.link().to_bytes()),
    });
    let (status, headers, text) = call(As::Nobody, "POST", &url, Some(&body)).await;
    assert_eq!(status, 429);
    assert!(
        text.contains("urn:armour:problem:renewed-too-soon"),
        "{text}"
    );
    let seconds: u32 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    // Nothing was taken: the same is once the hour is over.
    renewed_before(&database, &world, 1).await;
    let answer = consumer.sent(&base, early).await;
    assert_eq!(answer.outcome, Some(LinkOutcome::Done));
    let grant = consumer.draw(&base, world.pair.id, None).await;
    assert_eq!(grant.consumer.renewals.len(), 2);
}

#[tokio::test]
async fn a_renewal_that_a_clock_ahead_has_dated_keeps_the_next_one_out_of_nothing() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let consumer = &world.consumer;
    for _ in 0..2 {
        let renewal = consumer.sign_renewal();
        let answer = consumer.sent(&base, renewal).await;
        assert_eq!(answer.outcome, Some(LinkOutcome::Done));
        renewed_before(&database, &world, -60 * 24 * 365).await;
    }
}

#[tokio::test]
async fn a_start_ends_rather_than_have_more_renewals_than_a_grant_carries() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let consumer = &world.consumer;
    let mut connection = bound(&database, world.tenant).await;
    sqlx::query(
        "INSERT INTO endpoint_keys (tenant_id, endpoint_id, start_hash, since_k, since_hash,
                                    signing_key, hpke_key, link, since)
         SELECT tenant_id, endpoint_id, start_hash, -i, since_hash, signing_key, hpke_key, '',
                now() - interval '1 day'
         FROM endpoint_keys, generate_series(1, 1024) AS i WHERE endpoint_id = $1",
    )
    .bind(consumer.id)
    .execute(&mut connection)
    .await
    .unwrap();
    let renewal = consumer.sign_renewal();
    let answer = consumer.send(&base, &renewal).await.unwrap();
    assert!(answer.ended);
    // It is the endpoint again once it has started anew.
    consumer.start(&base).await;
    let grant = consumer.draw(&base, world.pair.id, None).await;
    assert!(grant.consumer.renewals.is_empty());
}

#[tokio::test]
async fn a_key_that_signs_on_after_its_renewal_ends_the_identity() {
    let base = replica(&database().await).await;
    let (world, twin) = twins(&base).await;
    world.consumer.renew(&base).await;
    world.consumer.heartbeat(&base, vec![]).await;
    for _ in 0..2 {
        // Nobody has seen what it signed before.
        let unseen = twin.sign(beat());
        let mark = unseen.link().mark();
        let answer = armour_api::LinkAnswer {
            head: armour_api::ChainHead {
                k: mark.k,
                hash: STANDARD.encode(mark.hash.0),
            },
            ended: false,
            outcome: None,
        };
        assert!(twin.answered(unseen, &answer).is_none());
    }
    let error = twin.send(&base, &twin.sign(beat())).await.unwrap_err();
    assert!(error.is("identity-collided"), "{error}");
}
