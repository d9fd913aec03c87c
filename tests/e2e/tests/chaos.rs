//! Random faults and thefts for some minutes; `make chaos` does it for an hour.

use std::time::Duration;

use armour_e2e::{
    chaos::{Plan, check_machine, run},
    not_tried::not_tried,
};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_the_history_is_sound_and_every_theft_is_found() {
    if let Err(why) = check_machine() {
        return not_tried("faults of networks and disks", format!("{why:#}"));
    }
    let seconds = std::env::var("ARMOUR_CHAOS_SECONDS").map_or(180, |text| text.parse().unwrap());
    // The same each time; `make chaos` chooses another.
    let seed = 1;
    let plan = Plan {
        time: Duration::from_secs(seconds),
        callers: 8,
        seed,
    };
    let outcome = run(plan, false).await.unwrap();
    println!("{outcome}");
    assert!(outcome.is_clean(), "{outcome}");
    assert!(outcome.faults.values().all(|count| *count > 0), "{outcome}");
    assert!(outcome.thefts.0 > 0, "{outcome}");
    // Most calls must come through, or nothing was shown. What share exactly depends on how many
    // calls the machine makes between two outages, of which each costs about as many everywhere.
    let tally = &outcome.history.tally;
    assert!(tally.acknowledged > tally.refused, "{outcome}");
}
