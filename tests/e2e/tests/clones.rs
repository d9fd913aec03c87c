//! Clones of both ends are found. The long run is `make clones`.

use armour_e2e::clones::{Plan, run};

#[tokio::test(flavor = "multi_thread")]
async fn clones_of_consumers_and_of_producers_are_found() {
    let plan = Plan {
        consumers: 5,
        producers: 5,
        parallel: 1,
        bystanders: 0,
    };
    let outcome = run(plan).await.unwrap();
    println!("{outcome}");
    assert!(outcome.is_clean(), "{outcome}");
    let figures = outcome.figures();
    assert_eq!((figures.consumers_found, figures.producers_found), (5, 5));
}
