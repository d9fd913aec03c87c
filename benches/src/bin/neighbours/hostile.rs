//! The tenant that takes all it can get.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use armour_api::{NewPair, NewWebhook, Policy, Role};
use armour_benches::{
    by_hand::ByHand,
    service::{Endpoint, Serving, enrol, serving_producer},
};
use armour_cli::servers::postgres::Postgres;
use armour_client::{Client, ClientError};
use futures::StreamExt as _;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{receiver::Receiver, why::why};

/// How much of each.
#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub struct Plan {
    /// Callers with the hostile tenant's token that do not pause.
    #[arg(long, default_value_t = 32)]
    callers: usize,
    /// Callers without any token that do not pause.
    #[arg(long, default_value_t = 32)]
    anonymous: usize,
    /// Its agents, which send heartbeats without a pause.
    #[arg(long, default_value_t = 32)]
    hostile_agents: usize,
    /// Event streams that it opens.
    #[arg(long, default_value_t = 500)]
    streams: usize,
    /// Callers that ask for long lists.
    #[arg(long, default_value_t = 8)]
    lists: usize,
    /// Superseded bundles of its pair, which the lists are made of.
    #[arg(long, default_value_t = 200_000)]
    listed: usize,
}

/// The tenant, before it does anything.
pub struct Hostile {
    pub orders: Orders,
    _kept: (Serving, Receiver),
}

/// What whoever attacks is told.
#[derive(Serialize, Deserialize)]
pub struct Orders {
    base: String,
    plan: Plan,
    /// An operator's.
    token: String,
    consumer: Uuid,
    pair: Uuid,
}

/// Whoever attacks.
pub struct Attacker {
    orders: Orders,
    operator: Client,
    endpoints: Vec<Endpoint>,
}

/// What it does.
pub struct Attack {
    tasks: JoinSet<()>,
    counts: Arc<Counts>,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub struct Outcome {
    pub served: u64,
    /// By the problem's type.
    pub refused: BTreeMap<String, u64>,
    pub streams: i64,
}

#[derive(Default)]
struct Counts {
    served: AtomicU64,
    refused: Mutex<BTreeMap<String, u64>>,
    streams: AtomicI64,
    most_streams: AtomicI64,
}

impl Hostile {
    /// Enrols it.
    ///
    /// # Errors
    /// If the control plane refuses.
    pub async fn begin(
        base: &str,
        platform: &Client,
        postgres: &Postgres,
        plan: &Plan,
    ) -> anyhow::Result<Self> {
        let token = platform.create_tenant("hostile").await?.token;
        let operator = platform.with_token(token.clone());
        let consumer = operator.create_party(Role::Consumer, "c").await?.id;
        let producer = operator.create_party(Role::Producer, "p").await?.id;
        let new = NewPair {
            consumer_id: consumer,
            producer_id: producer,
            policy: Policy::default(),
        };
        let pair = operator.create_pair(&new).await?.id;
        let serves = serving_producer(base, &operator, producer).await?;
        let mut by_hand = ByHand {
            operator: operator.clone(),
            endpoint: enrol(base, &operator, Role::Consumer, consumer).await?,
            pair,
        };
        by_hand.median(1).await?;
        by_hand.supersede(postgres, plan.listed).await?;
        let receiver = Receiver::start(true).await?;
        let webhook = NewWebhook {
            url: receiver.url.clone(),
            kinds: vec!["pair.disconnected".into(), "pair.re-armed".into()],
        };
        operator.create_webhook(webhook).await?;
        let orders = Orders {
            base: base.to_owned(),
            plan: plan.clone(),
            token,
            consumer,
            pair,
        };
        Ok(Self {
            orders,
            _kept: (serves, receiver),
        })
    }
}

impl Attacker {
    /// Enrols its agents.
    ///
    /// # Errors
    /// If the control plane refuses.
    pub async fn enrol(orders: Orders) -> anyhow::Result<Self> {
        let operator = Client::new(&orders.base, &orders.token)?;
        let mut endpoints = Vec::new();
        for _ in 0..orders.plan.hostile_agents {
            let consumer = orders.consumer;
            endpoints.push(enrol(&orders.base, &operator, Role::Consumer, consumer).await?);
        }
        Ok(Self {
            orders,
            operator,
            endpoints,
        })
    }

    /// Begins, all at once.
    pub fn attack(self) -> Attack {
        let (mut tasks, counts) = (JoinSet::new(), Arc::new(Counts::default()));
        let Orders {
            plan, base, pair, ..
        } = self.orders;
        for _ in 0..plan.callers {
            let operator = self.operator.clone();
            tasks.spawn(again(counts.clone(), move || get(&operator, "/v1/pairs")));
        }
        if let Ok(nobody) = Client::new(&base, "nobody's token") {
            for _ in 0..plan.anonymous {
                let nobody = nobody.clone();
                tasks.spawn(again(counts.clone(), move || get(&nobody, "/v1/pairs")));
            }
        }
        for mut endpoint in self.endpoints {
            let counts = counts.clone();
            tasks.spawn(async move {
                loop {
                    counts.count(endpoint.heartbeat(&[]).await.map(drop));
                    tokio::task::yield_now().await;
                }
            });
        }
        for _ in 0..plan.streams {
            tasks.spawn(follow(self.operator.clone(), counts.clone()));
        }
        for _ in 0..plan.lists {
            let operator = self.operator.clone();
            tasks.spawn(again(counts.clone(), move || all_bundles(&operator)));
        }
        let operator = self.operator;
        tasks.spawn(again(counts.clone(), move || change(&operator, pair)));
        Attack { tasks, counts }
    }
}

impl Attack {
    /// Ends.
    pub async fn end(mut self) -> Outcome {
        self.tasks.shutdown().await;
        Outcome {
            served: self.counts.served.load(Ordering::Relaxed),
            refused: self.counts.refused.lock().clone(),
            streams: self.counts.most_streams.load(Ordering::Relaxed),
        }
    }
}

impl Counts {
    fn count(&self, done: anyhow::Result<()>) {
        match done {
            Ok(()) => {
                self.served.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => *self.refused.lock().entry(why(&error)).or_default() += 1,
        }
    }
}

/// Does it again and again, without a pause.
async fn again<F: Future<Output = Result<(), ClientError>> + Send>(
    counts: Arc<Counts>,
    once: impl Fn() -> F + Send + 'static,
) {
    loop {
        counts.count(once().await.map_err(anyhow::Error::from));
        tokio::task::yield_now().await;
    }
}

fn get(
    client: &Client,
    path: &'static str,
) -> impl Future<Output = Result<(), ClientError>> + Send + use<> {
    let client = client.clone();
    async move { client.get::<Value>(path).await.map(drop) }
}

/// Every page, though nobody reads them.
fn all_bundles(client: &Client) -> impl Future<Output = Result<(), ClientError>> + Send + use<> {
    let client = client.clone();
    async move { client.bundles(None).every_raw().await.map(drop) }
}

/// Makes events for the receiver that hangs.
fn change(
    client: &Client,
    pair: Uuid,
) -> impl Future<Output = Result<(), ClientError>> + Send + use<> {
    let client = client.clone();
    async move {
        let cut = client.disconnect_pair(pair, "hostile").await.map(drop);
        cut.and(client.re_arm(pair, "hostile").await.map(drop))
    }
}

/// Follows events, and again when the stream ends or is refused.
async fn follow(operator: Client, counts: Arc<Counts>) {
    loop {
        match operator.events("/v1/events", None).await {
            Ok(mut events) => {
                let open = counts.streams.fetch_add(1, Ordering::Relaxed) + 1;
                counts.most_streams.fetch_max(open, Ordering::Relaxed);
                while events.next().await.is_some() {}
                counts.streams.fetch_sub(1, Ordering::Relaxed);
            }
            Err(error) => counts.count(Err(error.into())),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
