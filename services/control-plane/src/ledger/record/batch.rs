//! One transaction for the calls that come together.

use std::sync::Arc;

use armour_api::{EndpointState, Role};
use armour_storage::{Store, Tx, Urgency};
use uuid::Uuid;

use super::{
    check::{Known, check, refuse},
    report::{Call, ReportOutcome, Said},
    round::{Finding, Recorded, Round},
};
use crate::{
    http::problem::{ApiError, ApiResult},
    ledger::{
        collision::{Found, record_collision},
        testimony as evidence,
    },
    platform::group_commit::BatchOperation,
};

/// Records reports.
pub struct Ledger {
    store: Store,
}

impl Ledger {
    /// Records in this database.
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

impl BatchOperation for Ledger {
    type Request = Call;
    type Answer = ReportOutcome;

    fn weight(call: &Call) -> usize {
        let said = call
            .reports
            .iter()
            .filter_map(|report| report.said.as_ref());
        let bodies: usize = said.map(Said::bodies).sum();
        bodies + call.reports.len()
    }

    async fn run(&self, tenant: Uuid, calls: &[Arc<Call>]) -> ApiResult<Vec<ReportOutcome>> {
        let mut tx = self.store.tenant_for(tenant, Urgency::Reports).await?;
        let endpoints: Vec<Uuid> = calls.iter().map(|call| call.endpoint).collect();
        let states = tx.endpoints().states(&endpoints).await?;
        let known = Arc::new(known(&mut tx, calls).await?);
        let mut outcomes: Vec<ReportOutcome> = calls
            .iter()
            .map(|call| match states.get(&call.endpoint) {
                None => ReportOutcome::Unknown,
                Some(EndpointState::Revoked) => ReportOutcome::Revoked,
                Some(EndpointState::Collided) => ReportOutcome::Collided,
                // Whatever is not said below is malformed or nobody's.
                Some(EndpointState::Active) => ReportOutcome::Verdicts(
                    call.reports
                        .iter()
                        .map(|report| refuse(call.endpoint, report, &known))
                        .collect(),
                ),
            })
            .collect();
        // Signatures are checked before any lane is locked, and where it does not keep
        // other calls waiting.
        let (calls, of) = (calls.to_vec(), known.clone());
        let heard: Vec<bool> = outcomes
            .iter()
            .map(|outcome| matches!(outcome, ReportOutcome::Verdicts(_)))
            .collect();
        let checked = tokio::task::spawn_blocking(move || {
            let heard = calls.iter().enumerate().filter(|(at, _)| heard[*at]);
            heard
                .flat_map(|(at, call)| check(at, call, &of))
                .collect::<Vec<_>>()
        });
        let checked = checked.await.map_err(ApiError::internal)?;
        let mut round = Round::new(&mut tx, known.bundles.clone());
        round.record(checked).await?;
        let Recorded {
            judged,
            found,
            disputes,
            advanced_any,
        } = round.finish();
        for dispute in &disputes {
            tx.lanes().dispute(dispute).await?;
        }
        for (at, place, verdict) in judged {
            if let ReportOutcome::Verdicts(verdicts) = &mut outcomes[at] {
                verdicts[place] = verdict;
            }
        }
        // Who vouches for known tickets may be lost in a crash.
        if !advanced_any && disputes.is_empty() {
            tx.allow_asynchronous_commit().await?;
        }
        tx.commit().await?;
        // Transactions of their own: the locks of the lanes have to be free. Nothing of
        // a contradicting report was recorded, so it is found again when it is
        // reported again.
        for finding in found {
            let mut tx = self.store.tenant_for(tenant, Urgency::Reports).await?;
            let found = with_record(&mut tx, finding).await?;
            record_collision(&mut tx, &found).await?;
            tx.commit().await?;
        }
        Ok(outcomes)
    }
}

/// The bundles that calls name. None of them is retired until the transaction ends: what is
/// recorded of it now, its retirement looks at.
async fn known(tx: &mut Tx, calls: &[Arc<Call>]) -> ApiResult<Known> {
    let mut named: Vec<Uuid> = calls
        .iter()
        .flat_map(|call| call.reports.iter().map(|report| report.bundle))
        .collect();
    named.sort_unstable();
    named.dedup();
    tx.bundle_retirements().hold_off(&named).await?;
    Ok(Known {
        bundles: tx.bundles().find_many(&named).await?,
        contexts: tx.contexts(&named).await?,
    })
}

/// A finding with what is recorded in the place of what was reported.
async fn with_record(tx: &mut Tx, finding: Finding) -> ApiResult<Found> {
    let Finding {
        bundle,
        kind,
        role,
        context,
        lane,
        n,
        k,
        reported,
        reporter,
    } = finding;
    let recorded = match k {
        0 => evidence::of_exchange(tx, &context, (lane, n), role).await?,
        k => evidence::of_line(tx, &context, (lane, n, k), role, &reported).await?,
    };
    let reported = evidence::taken_apart(tx, &context, reported).await?;
    Ok(Found {
        endpoint: match role {
            Role::Consumer => bundle.consumer,
            Role::Producer => bundle.producer,
        },
        role,
        start: bundle.start(role),
        kind,
        n,
        k: (k > 0).then_some(k),
        recorded: recorded.map(|testimony| testimony.to_bytes()),
        reported: Some(reported.to_bytes()),
        reporter,
        place: Some((bundle, lane)),
    })
}
