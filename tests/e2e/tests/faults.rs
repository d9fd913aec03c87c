//! Every process killed under traffic, and connections cut. The long run is
//! `make faults`.

use armour_e2e::{
    faults::{Plan, run, setup},
    system::System,
};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_run_twice_begun_late_lost_or_taken_for_a_theft() {
    let system = System::set_up(setup()).await.unwrap();
    let outcome = run(
        system,
        Plan {
            exchanges: 12_000,
            callers: 8,
            kill_every: 500,
            loss: 3_000,
        },
    )
    .await
    .unwrap();
    println!("{outcome}");
    assert!(outcome.is_clean(), "{outcome}");
    assert!(outcome.kills.iter().all(|kills| *kills > 0), "{outcome}");
    assert!(outcome.holds > 0, "{outcome}");
    assert_eq!(outcome.tally.begun_late, Some(0), "{outcome}");
    assert!(outcome.cuts > 0, "{outcome}");
    // Most calls must come through, or nothing was shown.
    assert!(outcome.tally.acknowledged > 10_000, "{outcome}");
}
