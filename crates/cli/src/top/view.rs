//! What is shown: a tenant's pairs, and how much each exchanges.

use std::collections::HashMap;

use armour_api::{
    Bundle, BundleState, Endpoint, EndpointState, Event, Overview, Pair, PairState, Phase, Role,
};
use armour_client::Client;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{output::plain, permissive::is_permissive};

/// How many events are shown.
pub(super) const EVENTS: usize = 8;
/// How many pages of bundles are read: a tenant with more shows its latest.
const MAX_PAGES: usize = 5;

/// What is shown.
#[derive(Default)]
pub(super) struct View {
    overview: Option<Overview>,
    /// Pairs, in order.
    pub rows: Vec<PairRow>,
    /// Events, latest first.
    pub events: Vec<Event>,
    /// Exchanges of each bundle when it was read before, and when that was.
    before: Option<(Instant, HashMap<Uuid, i64>)>,
    /// Why the latest reading failed.
    pub error: Option<String>,
}

/// A pair's line.
pub(super) struct PairRow {
    /// The pair.
    pub pair: Pair,
    per_second: f64,
    exchanges: i64,
    /// Of both ends, and how many of the producer's serve.
    endpoints: String,
    /// None of the producer's endpoints serves.
    pub is_unserved: bool,
}

impl View {
    /// Reads everything anew.
    ///
    /// # Errors
    /// If the control plane refuses or cannot be reached.
    pub async fn refresh(&mut self, client: &Client) -> anyhow::Result<()> {
        let overview = client.overview().await?;
        let pairs = client.pairs().await?;
        let endpoints = client.endpoints().await?;
        let bundles = bundles(client).await?;
        let now = Instant::now();
        let counts: HashMap<Uuid, i64> = bundles.iter().map(|b| (b.id, b.exchanges)).collect();
        let before = self.before.replace((now, counts));
        let since = |bundle: &Bundle| {
            let (at, counts) = before.as_ref()?;
            let had = counts.get(&bundle.id).copied().unwrap_or(0);
            Some((bundle.exchanges - had) as f64 / now.duration_since(*at).as_secs_f64())
        };
        let mut rows: Vec<PairRow> = pairs
            .items
            .into_iter()
            .map(|pair| {
                let own: Vec<&Bundle> = bundles.iter().filter(|b| b.pair_id == pair.id).collect();
                let ends: Vec<&Endpoint> = endpoints
                    .items
                    .iter()
                    .filter(|one| [pair.consumer_id, pair.producer_id].contains(&one.party_id))
                    .filter(|one| one.state == EndpointState::Active && one.left_at.is_none())
                    .collect();
                let (serving, of) = serving(&ends);
                PairRow {
                    is_unserved: serving == 0 && of > 0,
                    per_second: total(own.iter().filter_map(|bundle| since(bundle))),
                    exchanges: own.iter().map(|bundle| bundle.exchanges).sum(),
                    endpoints: said_of(&ends),
                    pair,
                }
            })
            .collect();
        // What needs somebody first, then what is busiest.
        rows.sort_by(|a, b| {
            let broken =
                |row: &PairRow| row.pair.state == PairState::Disconnected || row.is_unserved;
            broken(b)
                .cmp(&broken(a))
                .then(b.per_second.total_cmp(&a.per_second))
                .then(b.exchanges.cmp(&a.exchanges))
        });
        self.overview = Some(overview);
        self.rows = rows;
        Ok(())
    }

    /// Shows an event before the earlier ones.
    pub fn add(&mut self, event: Event) {
        self.events.insert(0, event);
        self.events.truncate(EVENTS);
    }

    /// The tenant in two lines.
    pub fn summary(&self) -> Vec<String> {
        let Some(now) = &self.overview else {
            return Vec::new();
        };
        let collisions: i64 = now.collisions.iter().map(|day| day.count).sum();
        let per_second = total(self.rows.iter().map(|row| row.per_second));
        vec![
            format!(
                "pairs {} active, {} disconnected   endpoints {} healthy, {} lost   collisions {collisions} in 30 days",
                now.pairs_active, now.pairs_disconnected, now.endpoints_healthy, now.endpoints_lost,
            ),
            format!("exchanges/s {per_second:.1}   ever {}", now.exchanges),
        ]
    }
}

impl PairRow {
    /// What its columns say.
    pub fn cells(&self) -> [String; 6] {
        [
            plain(&self.pair.consumer_name),
            plain(&self.pair.producer_name),
            match self.pair.state {
                PairState::Active => "active".to_owned(),
                PairState::Disconnected => "disconnected".to_owned(),
            },
            format!("{:.1}", self.per_second),
            self.exchanges.to_string(),
            self.endpoints.clone(),
        ]
    }
}

/// How many of the producer's endpoints serve, and how many there are.
fn serving(ends: &[&Endpoint]) -> (usize, usize) {
    let producers = ends.iter().filter(|one| one.role == Role::Producer);
    let serving = producers.clone().filter(|one| serves(one)).count();
    (serving, producers.count())
}

/// What is said of the endpoints of a pair.
fn said_of(ends: &[&Endpoint]) -> String {
    let count = |of: fn(&Endpoint) -> bool| ends.iter().filter(|one| of(one)).count();
    let (serving, of) = serving(ends);
    let mut said = match count(|one| one.lost_at.is_some()) {
        0 => ends.len().to_string(),
        lost => format!("{} ({lost} lost)", ends.len()),
    };
    said += &format!(", {serving} of {of} serve");
    match count(is_permissive) {
        0 => said,
        open => said + &format!(", {open} permissive"),
    }
}

/// Whether a producer's endpoint serves, as far as it is known.
fn serves(endpoint: &Endpoint) -> bool {
    endpoint.lost_at.is_none() && matches!(endpoint.phase, None | Some(Phase::Serving))
}

/// A sum that is 0 and not -0 where there is nothing to add.
fn total(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |sum, number| sum + number)
}

/// Active bundles, the latest first.
async fn bundles(client: &Client) -> anyhow::Result<Vec<Bundle>> {
    let mut found = Vec::new();
    let mut page = client.bundles(None).await?;
    for read in 1.. {
        let active = page.items.into_iter();
        found.extend(active.filter(|bundle| bundle.state == BundleState::Active));
        match page.next {
            Some(next) if read < MAX_PAGES => page = client.bundles(None).page(&next).await?,
            _ => break,
        }
    }
    Ok(found)
}
