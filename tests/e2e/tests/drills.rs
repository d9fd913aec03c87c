//! Rolling restart with clocks that are off, failover, restore. The long runs are
//! `make drills`.

use armour_e2e::drills::{Outcome, Plan, failover, restore, rolling_restart};

const PLAN: Plan = Plan {
    callers: 8,
    calls: 300,
    rounds: 1,
};

fn check(outcome: &Outcome) {
    println!("{outcome}");
    assert!(outcome.tally.is_clean(), "{outcome}");
    assert!(outcome.tally.acknowledged > 1_000, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_fails_no_exchange_whatever_the_clocks_say() {
    let outcome = rolling_restart(&PLAN).await.unwrap();
    check(&outcome);
    assert_eq!(outcome.tally.refused, 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_fails_no_exchange() {
    let plan = Plan { rounds: 2, ..PLAN };
    let outcome = failover(&plan).await.unwrap();
    check(&outcome);
    assert_eq!(outcome.tally.refused, 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_agents_go_on_and_nobody_is_taken_for_a_thief() {
    check(&restore(&PLAN).await.unwrap());
}
