//! The tenant with a steady load.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use armour_api::{NewPair, NewWebhook, Policy, Role};
use armour_benches::{
    by_hand::ByHand,
    service::{Drawn, Endpoint, Serving, enrol, report, serving_producer},
};
use armour_cli::servers::postgres::Postgres;
use armour_client::Client;
use armour_protocol::v2::{body::BodyHash, ledger::Run};
use futures::future::join_all;
use uuid::Uuid;

use crate::{receiver::Receiver, why::why};

/// Between two calls of an agent; every other is a heartbeat, the others report a ticket.
const EVERY: Duration = Duration::from_millis(500);
/// Between two calls of an operator.
const READS: Duration = Duration::from_millis(200);
const OPERATORS: usize = 4;
/// Between two events that a webhook tells of.
const EVENTS: Duration = Duration::from_secs(2);
/// How long a webhook may take.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// The tenant.
pub struct Quiet {
    operator: Client,
    agents: Vec<Agent>,
    by_hand: ByHand,
    /// A pair whose changes a webhook tells of.
    noted: Uuid,
    receiver: Receiver,
    _serve: [Serving; 3],
}

struct Agent {
    endpoint: Endpoint,
    drawn: Drawn,
    lane: u16,
}

/// What its calls took.
#[derive(Default)]
pub struct Seen {
    /// In milliseconds, ascending.
    times: Vec<f64>,
    /// The same of each kind of call.
    kinds: BTreeMap<&'static str, Vec<f64>>,
    /// Calls of agents that failed.
    pub failed: u64,
    /// Why calls failed, how often.
    pub why: BTreeMap<String, u64>,
    /// Events that a webhook was to tell of, and those that it told of.
    webhooks: (u64, u64),
}

impl Quiet {
    /// Enrols it.
    ///
    /// # Errors
    /// If the control plane refuses.
    pub async fn begin(base: &str, platform: &Client, agents: usize) -> anyhow::Result<Self> {
        let operator = platform.with_token(platform.create_tenant("steady").await?.token);
        let (pair, consumer, steady) = pair(base, &operator, "steady").await?;
        let mut all = Vec::new();
        for _ in 0..agents {
            let mut endpoint = enrol(base, &operator, Role::Consumer, consumer).await?;
            let drawn = endpoint.draw(pair).await?;
            all.push(Agent {
                endpoint,
                drawn,
                lane: 0,
            });
        }
        let (cut, consumer, of_cut) = self::pair(base, &operator, "cut").await?;
        let endpoint = enrol(base, &operator, Role::Consumer, consumer).await?;
        let (noted, _, of_noted) = self::pair(base, &operator, "noted").await?;
        let receiver = Receiver::start(false).await?;
        let webhook = NewWebhook {
            url: receiver.url.clone(),
            kinds: vec!["pair.disconnected".into()],
        };
        operator.create_webhook(webhook).await?;
        let by_hand = ByHand {
            operator: operator.clone(),
            endpoint,
            pair: cut,
        };
        Ok(Self {
            operator,
            agents: all,
            by_hand,
            noted,
            receiver,
            _serve: [steady, of_cut, of_noted],
        })
    }

    /// Writes superseded bundles behind the pair that is disconnected by hand.
    ///
    /// # Errors
    /// If PostgreSQL or the control plane refuses.
    pub async fn supersede(&mut self, postgres: &Postgres, count: usize) -> anyhow::Result<()> {
        // Copies of one that was drawn.
        self.by_hand.median(1).await?;
        self.by_hand.supersede(postgres, count).await
    }

    /// The median of so many disconnects by hand, in milliseconds.
    ///
    /// # Errors
    /// If the control plane refuses.
    pub async fn disconnect_ms(&mut self, rounds: usize) -> anyhow::Result<f64> {
        self.by_hand.median(rounds).await
    }

    /// Makes its calls for so long.
    pub async fn live(&mut self, phase: Duration) -> Seen {
        let until = Instant::now() + phase;
        let count = self.agents.len().max(1) as u32;
        let agents = self.agents.iter_mut().zip(0_u32..);
        let agents = join_all(agents.map(|(agent, place)| async move {
            // Not all at the same moment.
            tokio::time::sleep(EVERY * place / count).await;
            agent.live(until).await
        }));
        let operator = &self.operator;
        let operators = join_all((0..OPERATORS).map(|_| reads(operator, until)));
        let events = events(operator, self.noted, &self.receiver, until);
        let (agents, operators, webhooks) = tokio::join!(agents, operators, events);
        let mut seen = Seen {
            webhooks,
            ..Seen::default()
        };
        for agent in agents {
            seen.failed += agent.failed;
            seen.add(agent);
        }
        for operator in operators {
            seen.add(operator);
        }
        seen.times.sort_by(f64::total_cmp);
        for times in seen.kinds.values_mut() {
            times.sort_by(f64::total_cmp);
        }
        seen
    }
}

/// A pair with a producer's endpoint that serves; its id and its consumer's.
async fn pair(base: &str, operator: &Client, name: &str) -> anyhow::Result<(Uuid, Uuid, Serving)> {
    let consumer = operator.create_party(Role::Consumer, name).await?.id;
    let producer = operator.create_party(Role::Producer, name).await?.id;
    let new = NewPair {
        consumer_id: consumer,
        producer_id: producer,
        policy: Policy {
            // Each report is of a lane of its own.
            max_lanes: 1_024,
            ..Policy::default()
        },
    };
    let pair = operator.create_pair(&new).await?.id;
    let serves = serving_producer(base, operator, producer).await?;
    Ok((pair, consumer, serves))
}

impl Agent {
    async fn live(&mut self, until: Instant) -> Seen {
        let mut seen = Seen::default();
        let mut due = tokio::time::interval(EVERY);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while Instant::now() < until {
            due.tick().await;
            let since = Instant::now();
            let (kind, done) = match self.lane.is_multiple_of(2) {
                true => ("reports", self.report().await),
                false => {
                    let beat = self.endpoint.heartbeat(&[self.drawn.id]).await;
                    ("heartbeats", beat.map(drop))
                }
            };
            self.lane = (self.lane + 1) % 1_024;
            seen.took(kind, since, done);
        }
        seen
    }

    /// Reports the first ticket of the next lane.
    async fn report(&self) -> anyhow::Result<()> {
        let context = &self.drawn.context;
        let key = self.endpoint.signer()?;
        let opening = BodyHash::opening(context, self.lane);
        let rests = vec![[1; 32]];
        let run = Run::signed(context, self.lane, 0, opening, rests, (&*key, &*key));
        let report = report(self.drawn.id, &run.context("a run")?);
        self.endpoint.client.report(vec![report]).await?;
        Ok(())
    }
}

/// What an operator's console asks for.
async fn reads(operator: &Client, until: Instant) -> Seen {
    let mut seen = Seen::default();
    while Instant::now() < until {
        for path in ["/v1/pairs", "/v1/endpoints", "/v1/collisions"] {
            let since = Instant::now();
            let asked = operator.get::<serde_json::Value>(path).await;
            seen.took("reads", since, asked.map(drop).map_err(anyhow::Error::from));
            tokio::time::sleep(READS).await;
        }
    }
    seen
}

/// Makes events that a webhook tells of: how many there were, and how many it told of in time.
async fn events(operator: &Client, pair: Uuid, receiver: &Receiver, until: Instant) -> (u64, u64) {
    let (before, mut made) = (receiver.taken(), 0);
    while Instant::now() + TOLD_WITHIN < until {
        let cut = operator.disconnect_pair(pair, "the benchmark").await;
        made += u64::from(cut.is_ok());
        // Whatever becomes of it, the next one tells.
        let _armed = operator.re_arm(pair, "the benchmark").await;
        tokio::time::sleep(EVENTS).await;
    }
    tokio::time::sleep_until(tokio::time::Instant::from_std(until)).await;
    (made, receiver.taken() - before)
}

impl Seen {
    fn took(&mut self, kind: &'static str, since: Instant, done: anyhow::Result<()>) {
        let time = since.elapsed().as_secs_f64() * 1e3;
        self.times.push(time);
        self.kinds.entry(kind).or_default().push(time);
        if let Err(error) = done {
            self.failed += 1;
            *self.why.entry(why(&error)).or_default() += 1;
        }
    }

    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        for (kind, times) in other.kinds {
            self.kinds.entry(kind).or_default().extend(times);
        }
        for (why, count) in other.why {
            *self.why.entry(why).or_default() += count;
        }
    }

    /// How many calls.
    pub fn count(&self) -> usize {
        self.times.len()
    }

    /// What 99 in 100 took at most, in milliseconds.
    pub fn p99(&self) -> f64 {
        percentile(&self.times, 0.99)
    }

    /// Median and p99 of all calls and of each kind, for people.
    pub fn percentiles(&self) -> Vec<(&'static str, String)> {
        let kinds = self.kinds.iter().map(|(kind, times)| (*kind, times));
        let all = std::iter::once(("all", &self.times)).chain(kinds);
        let of = |times: &Vec<f64>| {
            let (median, p99) = (percentile(times, 0.5), percentile(times, 0.99));
            format!("{median:.1}, {p99:.1} ms")
        };
        all.map(|(kind, times)| (kind, of(times))).collect()
    }

    /// For people.
    pub fn told(&self) -> String {
        format!("{} of {}", self.webhooks.1, self.webhooks.0)
    }

    /// Whether a webhook told of all events in time.
    pub fn all_told(&self) -> bool {
        self.webhooks.1 >= self.webhooks.0
    }
}

fn percentile(ascending: &[f64], share: f64) -> f64 {
    let last = ascending.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    ascending.get(at).copied().unwrap_or(f64::NAN)
}
