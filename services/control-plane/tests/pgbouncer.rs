//! The control plane behind PgBouncer with transaction pooling.

use armour_api::{BundleState, EndpointState, Policy, ReportVerdict};
use futures::StreamExt as _;

use crate::common::{World, app_with, database, pgbouncer::PgBouncer, serve, serving};

#[tokio::test]
async fn a_control_plane_serves_behind_pgbouncer() {
    let owner = database().await;
    let bouncer = PgBouncer::start(&owner).await;
    let pooled = bouncer.url(&serving(&owner));
    let direct = serving(&owner);
    let mut options = vec![
        "--database-url",
        &*pooled,
        "--database-direct-url",
        &*direct,
    ];
    if !bouncer.keeps_statements {
        options.extend(["--database-prepared-statements", "0"]);
    }
    options.extend(["--migrate", "--database-owner-url", &owner]);
    let mut bases = Vec::new();
    for _ in 0..2 {
        let app = app_with("", &options).await.unwrap();
        app.start_jobs().detach_all();
        bases.push(serve(app).await);
    }
    let world = World::new(&bases[0], Policy::default()).await;
    let events = world.operator.events("/v1/events", None).await.unwrap();
    let bundle = world.bundle().await;
    // Many at once, so that connections change their servers.
    let lanes = (0..8).map(|lane| {
        let report = bundle.report(&bundle.plain(lane, 4));
        let client = world.consumer.client(&bases[usize::from(lane) % 2]);
        async move { client.report(vec![report]).await.unwrap() }
    });
    for told in futures::future::join_all(lanes).await {
        assert_eq!(told, [ReportVerdict::Accepted]);
    }
    // A copy has gone on differently.
    let other = bundle.history(0, &[(0, 0), (1, 1), (2, 2), (77, 77)]);
    let client = world.consumer.client(&bases[1]);
    let told = client.report(vec![bundle.report(&other)]).await.unwrap();
    assert_eq!(told, [ReportVerdict::Collision]);
    assert_eq!(world.operator.collisions().await.unwrap().items.len(), 1);
    let heard = async {
        let mut events = Box::pin(events);
        while let Some(event) = events.next().await {
            if event.kind == "collision.detected" {
                return;
            }
        }
        panic!("the stream ended");
    };
    tokio::time::timeout(crate::common::PATIENCE, heard)
        .await
        .unwrap();
    let (bundle, endpoint): (armour_api::Bundle, armour_api::Endpoint) = (
        world
            .operator
            .get(&format!("/v1/bundles/{}", bundle.id))
            .await
            .unwrap(),
        world
            .operator
            .get(&format!("/v1/endpoints/{}", world.consumer.id))
            .await
            .unwrap(),
    );
    assert_eq!(bundle.state, BundleState::Disconnected);
    assert_ne!(endpoint.state, EndpointState::Active);
}

#[tokio::test]
async fn events_and_migrations_through_a_transaction_pooler_are_refused() {
    let owner = database().await;
    let bouncer = PgBouncer::start(&owner).await;
    let (pooled, pooled_owner) = (bouncer.url(&serving(&owner)), bouncer.url(&owner));
    let migrate = |through| ["--migrate", "--database-owner-url", through];
    let prepared = [
        "--database-prepared-statements",
        "0",
        "--database-url",
        &pooled,
    ];
    let options = [&prepared[..], &migrate(&pooled_owner)].concat();
    let refused = app_with("", &options).await.map(drop).unwrap_err();
    let said = format!("{refused:#}");
    assert!(said.contains("--database-owner-url"), "{said}");
    let options = [&prepared[..], &migrate(&owner)].concat();
    let refused = app_with("", &options).await.map(drop).unwrap_err();
    let said = format!("{refused:#}");
    assert!(said.contains("--database-direct-url"), "{said}");
}
