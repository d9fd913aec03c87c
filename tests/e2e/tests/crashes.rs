//! Every process killed at its n-th write, for some n; `make crashes` does it for every n.

use armour_e2e::{
    crashes::{Plan, Unsupported, Victim, run},
    not_tried::not_tried,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_between_any_two_writes_is_no_theft_and_is_followed_by_another() {
    let samples = std::env::var("ARMOUR_CRASHES").map_or(4, |text| text.parse().unwrap());
    let plan = Plan {
        victims: Victim::ALL.to_vec(),
        samples: Some(samples),
        at_once: 8,
    };
    let outcome = match run(plan).await {
        Err(error) if error.is::<Unsupported>() => {
            return not_tried("a process killed at each write", error);
        }
        outcome => outcome.unwrap(),
    };
    println!("{outcome}");
    assert!(outcome.is_clean(), "{outcome}");
    // Lives differ in length, so that the last place of one may not come.
    let least = (Victim::ALL.len() as u64) * (samples - 1);
    assert!(outcome.kills() >= least, "{outcome}");
}
