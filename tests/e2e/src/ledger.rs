//! What the ledger says of both ends' reports: whoever reads it waits for that, not for
//! some time to pass.

use anyhow::Context as _;
use armour_api::{Bundle, BundleState, LaneHead, Page, RecordedTicket};
use uuid::Uuid;

use crate::{process::until, system::System};

/// A ticket of each lane that is in use.
#[derive(Debug)]
pub struct Marks(Vec<Mark>);

#[derive(Debug)]
struct Mark {
    bundle: Uuid,
    lane: u32,
    n: u64,
}

impl Marks {
    /// The last ticket of each lane as the ledger has it now, or one so many after it.
    ///
    /// # Errors
    /// If the control plane cannot be asked.
    pub async fn at_heads(system: &System, after: u64) -> anyhow::Result<Self> {
        let mut marks = Vec::new();
        let bundles: Vec<Bundle> = system.all("/v1/bundles?").await?;
        // Nobody goes on with one that is superseded or disconnected.
        for bundle in bundles.iter().filter(|b| b.state == BundleState::Active) {
            for head in heads(system, bundle.id).await? {
                marks.push(Mark {
                    bundle: bundle.id,
                    lane: head.lane,
                    n: head.n + after,
                });
            }
        }
        Ok(Self(marks))
    }

    /// Those of lanes that others are of as well.
    pub fn of_lanes_in(mut self, others: &Self) -> Self {
        self.0.retain(|mark| {
            let mut others = others.0.iter();
            others.any(|other| (other.bundle, other.lane) == (mark.bundle, mark.lane))
        });
        self
    }

    /// Whether both ends have reported all of them, but those of bundles that are not in
    /// use any more.
    ///
    /// # Errors
    /// If the control plane cannot be asked.
    pub async fn are_reported(&self, system: &System) -> anyhow::Result<bool> {
        for mark in &self.0 {
            if !mark.is_reported(system).await? && mark.is_in_use(system).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Mark {
    /// Agents go on with empty exchanges, so a later ticket may vouch for this one.
    async fn is_reported(&self, system: &System) -> anyhow::Result<bool> {
        let Self { bundle, lane, n } = self;
        let path = format!("/v1/bundles/{bundle}/tickets?lane={lane}&cursor={}", n + 1);
        let page: Page<RecordedTicket> = system.operator.get(&path).await?;
        let ticket = page.items.first().filter(|ticket| ticket.n == *n);
        Ok(ticket.is_some_and(|ticket| ticket.consumer_reported && ticket.producer_reported))
    }

    async fn is_in_use(&self, system: &System) -> anyhow::Result<bool> {
        let path = format!("/v1/bundles/{}", self.bundle);
        let bundle: Bundle = system.operator.get(&path).await?;
        Ok(bundle.state == BundleState::Active)
    }
}

/// Waits until both ends have reported whatever the ledger knows of now.
///
/// # Errors
/// If one of them does not.
pub async fn until_reported(system: &System) -> anyhow::Result<()> {
    let marks = Marks::at_heads(system, 0).await?;
    until("both ends' reports", || async {
        marks.are_reported(system).await.unwrap_or(false)
    })
    .await
    .with_context(|| format!("{marks:?}"))
}

/// The heads of a bundle's lanes.
///
/// # Errors
/// If the control plane cannot be asked.
pub async fn heads(system: &System, bundle: Uuid) -> anyhow::Result<Vec<LaneHead>> {
    let path = format!("/v1/bundles/{bundle}/lanes");
    // No bundle of these tests has more lanes than a page.
    let page: Page<LaneHead> = system.operator.get(&path).await?;
    Ok(page.items)
}
