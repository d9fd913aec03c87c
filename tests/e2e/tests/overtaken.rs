//! Requests of bundles, starts and bundles that arrive after later ones: nobody is accused,
//! nothing runs twice, and calls go on.

use armour_api::{AnnounceStart, SendLink};
use armour_e2e::{
    gate::{Gate, Hold},
    process::{program, until},
    system::{System, brisk},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::process::Command;

/// Where a link's bytes have its kind, and what a request of bundles is.
const KIND: usize = 1 + 16 + 32 + 8 + 32;
const REQUEST: u8 = 2;

fn is_draw(body: &[u8]) -> bool {
    let link = serde_json::from_slice::<SendLink>(body).map(|sent| STANDARD.decode(sent.link));
    link.is_ok_and(|link| link.is_ok_and(|link| link.get(KIND) == Some(&REQUEST)))
}

fn is_start(body: &[u8]) -> bool {
    serde_json::from_slice::<AnnounceStart>(body).is_ok()
}

/// A system whose consumer reaches the control plane by a way where requests can be held.
async fn by_a_gate() -> (System, Gate) {
    let mut system = System::start(brisk()).await.unwrap();
    let gate = Gate::start(&system.control).await.unwrap();
    let (url, via) = (gate.url(), system.producer_address);
    let data = system.folder().join("consumer");
    let listen = system.base.trim_start_matches("http://").to_owned();
    system.consumer.stop().await.unwrap();
    system.consumer.replace(move || {
        let mut command = Command::new(program("armour-agent").unwrap_or_default());
        command
            .args(["consumer", "--control-plane", &url, "--listen", &listen])
            .arg("--data-dir")
            .arg(&data)
            .args(["--via", &format!("http://{via}")]);
        command
    });
    system.consumer.start_again().unwrap();
    system.until_served().await.unwrap();
    (system, gate)
}

async fn re_arm(system: &System) {
    let why = "another bundle";
    let operator = &system.operator;
    operator.disconnect_pair(system.pair, why).await.unwrap();
    operator.re_arm(system.pair, why).await.unwrap();
}

async fn nobody_is_accused(system: &System) {
    system.until_served().await.unwrap();
    let later = armour_e2e::ledger::Marks::at_heads(system, 1)
        .await
        .unwrap();
    until("both ends' reports", || async {
        later.are_reported(system).await.unwrap_or(false)
    })
    .await
    .unwrap();
    assert_eq!(system.all_collisions().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draw_that_arrives_after_its_process_has_died_and_another_has_drawn() {
    let (mut system, gate) = by_a_gate().await;
    for (count, what) in [Hold::Request, Hold::Answer].into_iter().enumerate() {
        gate.hold(what, |_, body| is_draw(body));
        re_arm(&system).await;
        gate.until_held(count as u32 + 1).await.unwrap();
        system.consumer.crash().await.unwrap();
        system.until_served().await.unwrap();
        gate.release().await.unwrap();
        nobody_is_accused(&system).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_draws_of_processes_that_have_died_arrive_in_the_wrong_order() {
    let (mut system, first) = by_a_gate().await;
    first.hold(Hold::Request, |_, body| is_draw(body));
    re_arm(&system).await;
    first.until_held(1).await.unwrap();
    // The next process's draw is held as well, and let go before the first.
    first.hold(Hold::Answer, |_, body| is_draw(body));
    system.consumer.crash().await.unwrap();
    first.until_held(2).await.unwrap();
    system.consumer.crash().await.unwrap();
    system.until_served().await.unwrap();
    first.release().await.unwrap();
    nobody_is_accused(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_arrives_after_a_later_one() {
    let (mut system, gate) = by_a_gate().await;
    for (count, what) in [Hold::Request, Hold::Answer].into_iter().enumerate() {
        gate.hold(what, |_, body| is_start(body));
        system.consumer.crash().await.unwrap();
        gate.until_held(count as u32 + 1).await.unwrap();
        system.consumer.crash().await.unwrap();
        system.until_served().await.unwrap();
        gate.release().await.unwrap();
        nobody_is_accused(&system).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_arrives_after_a_later_one() {
    let (system, gate) = by_a_gate().await;
    for (count, what) in [Hold::Request, Hold::Answer].into_iter().enumerate() {
        gate.hold(what, |parts, _| {
            parts.uri.path().starts_with("/v1/endpoint/bundles/")
        });
        re_arm(&system).await;
        gate.until_held(count as u32 + 1).await.unwrap();
        // The bundle that it is of ends meanwhile.
        re_arm(&system).await;
        gate.release().await.unwrap();
        nobody_is_accused(&system).await;
    }
}
