//! What a producer does once more before it forgets a bundle.

use armour_api::{Bundle, BundleState, CollisionKind, Page, Policy, RecordedTicket, Role};
use armour_e2e::{
    process::until,
    system::{Setup, System, brisk},
    thief::steal_producer,
};

/// Whether the ledger has the receipt of each ticket of the bundle in use.
async fn is_reported(system: &System) -> anyhow::Result<bool> {
    let bundles: Vec<Bundle> = system.all("/v1/bundles?").await?;
    let mut tickets = Vec::new();
    for bundle in bundles.iter().filter(|b| b.state == BundleState::Active) {
        let path = format!("/v1/bundles/{}/tickets?lane=0", bundle.id);
        let page: Page<RecordedTicket> = system.operator.get(&path).await?;
        tickets.extend(page.items);
    }
    // The opening, the call that was served first, and the copy's.
    Ok(tickets.len() > 2 && tickets.iter().all(|ticket| ticket.receipt.is_some()))
}

/// A copy of the producer that answers after its victim's last heartbeat but one, and whose
/// consumer never calls the victim on that lane again, shows in the ledger's heads alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_superseded_bundle_is_compared_once_more_before_it_is_erased() {
    let setup = Setup {
        policy: Policy {
            // None by itself while the bundle ends.
            heartbeat_interval_ms: 20_000,
            empty_exchange_interval_ms: 60_000,
            supersede_grace_ms: 1_000,
            max_lanes: 1,
            ..brisk()
        },
        exports: true,
        ..Setup::default()
    };
    let mut system = System::set_up(setup).await.unwrap();
    let thief = steal_producer(&system, "thief").await.unwrap();
    system.hop.divert(thief.address().unwrap());
    system.get("/echo?id=copy").await.unwrap();
    system.hop.divert(system.producer_address);
    until("the consumer's report", || async {
        is_reported(&system).await.unwrap_or(false)
    })
    .await
    .unwrap();
    system.consumer.crash().await.unwrap();
    system.until_served().await.unwrap();
    until("the finding", || async {
        system.collisions().await.unwrap_or(0) > 0
    })
    .await
    .unwrap();
    let found = system.all_collisions().await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].role, found[0].kind),
        (Role::Producer, CollisionKind::Disowned)
    );
}
