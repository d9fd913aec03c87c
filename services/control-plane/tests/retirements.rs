//! A bundle's retirement and reports of its lanes in the same moment: whichever of the two
//! transactions commits first, what is beyond the list is found. A third transaction holds
//! one of them where it matters, until the other waits for it or is over.

use std::sync::atomic::{AtomicBool, Ordering};

use armour_api::{Collision, CollisionKind, LaneReport, Policy, ReportVerdict, Role};
use armour_protocol::v2::body::Kind;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::common::{
    TestBundle, TestEndpoint, World, bound, database, hold, mark, replica, wait_for,
};

/// A bundle whose lane 0 has three exchanges on record, and what is beyond them.
struct Case<'a> {
    bundle: TestBundle<'a>,
    /// Who retires the bundle after these three, and of which kind its list's marks are.
    retiring: &'a TestEndpoint,
    kind: Kind,
    reporter: &'a TestEndpoint,
    reports: Vec<LaneReport>,
    /// The first exchange that is not in the list.
    beyond: u64,
}

impl<'a> Case<'a> {
    /// What is beyond the list is in this lane: 0, which goes on, or 1, which is not open yet.
    async fn new(world: &'a World, role: Role, lane: u16) -> Self {
        let bundle = world.bundle().await;
        let (kind, retiring, reporter) = match role {
            Role::Consumer => (Kind::Ticket, &world.consumer, &world.producer),
            Role::Producer => (Kind::Receipt, &world.producer, &world.consumer),
        };
        let lane_0 = bundle.plain(0, 4);
        let known = vec![bundle.report(&lane_0[..6])];
        let told = reporter.client(&world.base).report(known).await.unwrap();
        assert_eq!(told, [ReportVerdict::Accepted]);
        let (reports, beyond) = match lane {
            0 => (vec![bundle.report(&lane_0[6..])], 3),
            _ => {
                let lanes = [&lane_0[..6], &bundle.plain(1, 1)];
                (lanes.map(|part| bundle.report(part)).to_vec(), 0)
            }
        };
        Self {
            bundle,
            retiring,
            kind,
            reporter,
            reports,
            beyond,
        }
    }

    async fn retire(&self, world: &World) {
        let marks = vec![mark(&self.bundle.plain(0, 3), self.kind)];
        let bundles = [(self.bundle.id, marks)];
        self.retiring.retire(&world.base, &bundles, false).await;
    }

    fn assert_is_found(&self, found: &[Collision]) {
        let [found] = found else {
            panic!("one collision, not {found:?}");
        };
        assert_eq!(found.kind, CollisionKind::AfterRetirement);
        assert_eq!(found.endpoint_id, self.retiring.id);
        assert_eq!(found.n, self.beyond);
    }
}

const CASES: [(Role, u16); 4] = [
    (Role::Consumer, 0),
    (Role::Consumer, 1),
    (Role::Producer, 0),
    (Role::Producer, 1),
];

/// Has transactions that do not say their level see only what was there when they began.
async fn isolate(database: &str) {
    let mut connection = PgConnection::connect(database).await.unwrap();
    let (_, name) = database.rsplit_once('/').unwrap();
    let default = "SET default_transaction_isolation = 'repeatable read'";
    let alter = format!("ALTER DATABASE {name} {default}");
    connection.execute(AssertSqlSafe(alter)).await.unwrap();
}

#[tokio::test]
async fn what_is_judged_before_a_retirement_and_recorded_after_it_is_held_against_its_list() {
    let database = database().await;
    let base = replica(&database).await;
    for (role, lane) in CASES {
        let world = World::new(&base, Policy::default()).await;
        let case = Case::new(&world, role, lane).await;
        let mut watcher = bound(&database, world.tenant).await;
        let mut holder = bound(&database, world.tenant).await;
        let mut held = holder.begin().await.unwrap();
        // The report has read its bundle, and waits for its lane.
        hold(&mut held, "lanes WHERE bundle_id", case.bundle.id).await;
        let (never, retired) = (AtomicBool::new(false), AtomicBool::new(false));
        let client = case.reporter.client(&base);
        let (told, ()) = tokio::join!(client.report(case.reports.clone()), async {
            wait_for(&mut watcher, 1, &never).await;
            tokio::join!(
                async {
                    case.retire(&world).await;
                    retired.store(true, Ordering::SeqCst);
                },
                async {
                    wait_for(&mut watcher, 2, &retired).await;
                    held.commit().await.unwrap();
                }
            );
        });
        for verdict in told.unwrap() {
            assert_eq!(verdict, ReportVerdict::Accepted, "{role:?} {lane}");
        }
        case.assert_is_found(&world.operator.collisions().await.unwrap().items);
    }
}

#[tokio::test]
async fn what_is_reported_while_a_retirement_is_under_way_is_judged_by_its_list() {
    let database = database().await;
    isolate(&database).await;
    let base = replica(&database).await;
    for (role, lane) in CASES {
        let world = World::new(&base, Policy::default()).await;
        let case = Case::new(&world, role, lane).await;
        let mut watcher = bound(&database, world.tenant).await;
        let mut holder = bound(&database, world.tenant).await;
        let mut held = holder.begin().await.unwrap();
        // The retirement has looked for what is beyond its list, and cannot commit.
        let start = "endpoint_starts WHERE endpoint_id";
        hold(&mut held, start, case.retiring.id).await;
        let (never, reported) = (AtomicBool::new(false), AtomicBool::new(false));
        let ((), told) = tokio::join!(case.retire(&world), async {
            wait_for(&mut watcher, 1, &never).await;
            let client = case.reporter.client(&base);
            let (told, ()) = tokio::join!(
                async {
                    let told = client.report(case.reports.clone()).await;
                    reported.store(true, Ordering::SeqCst);
                    told
                },
                async {
                    wait_for(&mut watcher, 2, &reported).await;
                    held.commit().await.unwrap();
                }
            );
            told
        });
        let verdict = told.unwrap().pop();
        assert_eq!(verdict, Some(ReportVerdict::Collision), "{role:?} {lane}");
        case.assert_is_found(&world.operator.collisions().await.unwrap().items);
    }
}
