//! One transaction for the calls that come together.

use std::sync::Arc;

use armour_api::EndpointState;
use armour_protocol::ledger::ENTRY_LEN;
use armour_storage::Store;
use uuid::Uuid;

use super::{
    check::{check, refuse},
    report::{Call, ReportOutcome},
    round::{Recorded, Round},
};
use crate::{
    http::problem::{ApiError, ApiResult},
    ledger::collision::record_collision,
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
        let entries = call
            .reports
            .iter()
            .filter_map(|report| report.tickets.as_ref());
        let tickets: usize = entries.map(|(_, entries)| entries.len() / ENTRY_LEN).sum();
        tickets + call.reports.len()
    }

    async fn run(&self, tenant: Uuid, calls: &[Arc<Call>]) -> ApiResult<Vec<ReportOutcome>> {
        let mut tx = self.store.tenant(tenant).await?;
        let endpoints: Vec<Uuid> = calls.iter().map(|call| call.endpoint).collect();
        let states = tx.endpoints().states(&endpoints).await?;
        let mut named: Vec<Uuid> = calls
            .iter()
            .flat_map(|call| call.reports.iter().map(|report| report.bundle))
            .collect();
        named.sort_unstable();
        named.dedup();
        let bundles = Arc::new(tx.bundles().find_many(&named).await?);
        let mut outcomes: Vec<ReportOutcome> = calls
            .iter()
            .map(|call| match states.get(&call.endpoint) {
                None => ReportOutcome::Unknown,
                Some(EndpointState::Revoked) => ReportOutcome::Revoked,
                // Whatever is not said below is malformed or nobody's.
                Some(EndpointState::Active) => ReportOutcome::Verdicts(
                    call.reports
                        .iter()
                        .map(|report| refuse(call.endpoint, report, &bundles))
                        .collect(),
                ),
            })
            .collect();
        // Signatures are checked before any lane is locked, and where it does not keep
        // other calls waiting.
        let (calls, known) = (calls.to_vec(), bundles.clone());
        let heard: Vec<bool> = outcomes
            .iter()
            .map(|outcome| matches!(outcome, ReportOutcome::Verdicts(_)))
            .collect();
        let checked = tokio::task::spawn_blocking(move || {
            let heard = calls.iter().enumerate().filter(|(at, _)| heard[*at]);
            heard
                .flat_map(|(at, call)| check(at, call, &known))
                .collect::<Vec<_>>()
        });
        let checked = checked.await.map_err(ApiError::internal)?;
        let mut round = Round::new(&mut tx, (*bundles).clone());
        round.record(checked).await?;
        let Recorded {
            judged,
            found,
            advanced_any,
        } = round.finish();
        for (at, place, verdict) in judged {
            if let ReportOutcome::Verdicts(verdicts) = &mut outcomes[at] {
                verdicts[place] = verdict;
            }
        }
        // Who vouches for known tickets may be lost in a crash.
        if !advanced_any {
            tx.allow_asynchronous_commit().await?;
        }
        tx.commit().await?;
        // Transactions of their own: the locks of the lanes have to be free. Nothing of
        // a contradicting report was recorded, so it is found again when it is
        // reported again.
        for found in &found {
            let mut tx = self.store.tenant(tenant).await?;
            record_collision(&mut tx, found).await?;
            tx.commit().await?;
        }
        Ok(outcomes)
    }
}
