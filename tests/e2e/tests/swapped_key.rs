//! A control plane that says another key or address is the producer's is not believed by
//! a real agent, and what it says otherwise is.

use std::time::Duration;

use armour_api::{Endpoint, Page, Role};
use armour_e2e::{
    process::until,
    system::{System, brisk},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_refuses_a_key_that_the_audit_log_does_not_hold() {
    let system = System::start(brisk()).await.unwrap();
    let endpoints: Page<Endpoint> = system.operator.get("/v1/endpoints").await.unwrap();
    let key_of = |role: Role| {
        let endpoint = endpoints.items.iter().find(|e| e.role == role).unwrap();
        endpoint.signing_key.clone()
    };
    let (own, others) = (key_of(Role::Producer), key_of(Role::Consumer));
    set_producers_key(&system, &others).await;
    disconnect_bundles(&system).await;
    until("the refusal", || async {
        system
            .consumer
            .log()
            .unwrap()
            .contains("the log holds another key of endpoint")
    })
    .await
    .unwrap();
    assert!(system.get("/echo?id=swapped").await.is_err());
    // With the right key again everything goes on.
    set_producers_key(&system, &own).await;
    system.until_served().await.unwrap();
    assert_eq!(system.collisions().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_audit_log_does_not_hold_is_not_called() {
    let system = System::start(brisk()).await.unwrap();
    let thief = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = format!("http://{}", thief.local_addr().unwrap());
    let endpoints: Page<Endpoint> = system.operator.get("/v1/endpoints").await.unwrap();
    let producer = endpoints.items.iter().find(|e| e.role == Role::Producer);
    let own = producer.unwrap().address.clone().unwrap();
    set_producers(&system, &format!("address = '{elsewhere}'")).await;
    disconnect_bundles(&system).await;
    until("the refusal", || async {
        let said = system.consumer.log().unwrap();
        said.contains("has another address")
    })
    .await
    .unwrap();
    assert!(system.get("/echo?id=moved").await.is_err());
    let called = tokio::time::timeout(Duration::from_millis(10), thief.accept()).await;
    assert!(called.is_err(), "the thief's address was called");
    set_producers(&system, &format!("address = '{own}'")).await;
    system.until_served().await.unwrap();
    assert_eq!(system.collisions().await.unwrap(), 0);
}

async fn set_producers_key(system: &System, key: &str) {
    let key = hex::encode(STANDARD.decode(key).unwrap());
    set_producers(system, &format!("signing_key = '\\x{key}'")).await;
}

/// Writes into the producer's row in the database.
async fn set_producers(system: &System, column: &str) {
    let endpoints: Page<Endpoint> = system.operator.get("/v1/endpoints").await.unwrap();
    let tenant = endpoints.items[0].tenant_id;
    let sql = format!(
        "SELECT set_config('armour.tenant', '{tenant}', false);
         UPDATE endpoints SET {column} WHERE role = 'producer'"
    );
    let done = tokio::process::Command::new("psql")
        .args([
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            &system.postgres.urls().owner,
            "-c",
            &sql,
        ])
        .output()
        .await
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

async fn disconnect_bundles(system: &System) {
    let bundles: Page<armour_api::Bundle> = system.operator.get("/v1/bundles").await.unwrap();
    for bundle in bundles.items {
        let path = format!("/v1/bundles/{}/disconnect", bundle.id);
        let reason = armour_api::Reason {
            reason: "test".into(),
        };
        let _: armour_api::Bundle = system.operator.post(&path, &reason).await.unwrap();
    }
}
