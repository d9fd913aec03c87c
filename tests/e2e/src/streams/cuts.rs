//! Streams that are cut, and what their receivers take them for.

mod closing;

use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use axum::{body::Body, http::Method};
use futures::{StreamExt as _, stream};
use indicatif::ProgressBar;
use tokio::sync::oneshot;

use self::closing::Closing;
use super::{
    api::{Api, End, pieces},
    caller::{Caller, Seen},
    stage::system,
};
use crate::system::{Setup, System, brisk};

/// What cuts a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The API, in a body without a length: no last chunk, or a stream of HTTP/2 that is reset.
    Api,
    /// The API, before the length that it told.
    ApiBeforeLength,
    /// The API, by a reset of a connection whose end is the body's.
    ApiByReset,
    /// The caller, in a body without a length.
    Caller,
    /// The caller, before the length that it told.
    CallerBeforeLength,
    /// The way between the agents.
    Way,
    /// The consumer's agent is killed.
    ConsumerKilled,
    /// The producer's agent is killed.
    ProducerKilled,
}

/// In turns; kills, after which agents start again, are at the end.
const KINDS: [By; 13] = [
    By::Api,
    By::ApiBeforeLength,
    By::ApiByReset,
    By::Caller,
    By::CallerBeforeLength,
    By::Way,
    By::Api,
    By::ApiBeforeLength,
    By::ApiByReset,
    By::Caller,
    By::Way,
    By::ConsumerKilled,
    By::ProducerKilled,
];

/// Of a body that is cut, more than is held whole.
const BYTES: u64 = 1_000_000;

/// What became of them.
#[derive(Default)]
pub struct Cuts {
    /// By what cut them: how many, and how many were taken for ended.
    counted: BTreeMap<String, (u32, u32)>,
    /// That came to their end all the same, as answers do that are asked for again.
    whole: u32,
}

/// What a receiver took a stream that was cut for.
enum Taken {
    ForCut,
    ForEnd,
    /// It was whole: the cut has been mended.
    Whole,
}

/// Cuts so many, of each kind in turns.
pub async fn count(count: u32, bar: &ProgressBar) -> anyhow::Result<Cuts> {
    let mut http1 = Place::start(false).await?;
    let mut http2 = Place::start(true).await?;
    let closing = Closing::start(BYTES).await?;
    let closing_system = System::set_up(Setup {
        policy: brisk(),
        upstream: Some(closing.address),
        agents_log: "info",
        ..Setup::default()
    })
    .await?;
    let mut cuts = Cuts::default();
    for number in 0..count {
        let by = KINDS[number as usize % KINDS.len()];
        let caller_http2 = number % 2 == 1;
        let to_http2 = number / 2 % 2 == 1 && by != By::ApiByReset;
        let taken = match by {
            By::ApiByReset => {
                let caller = Caller::new(&closing_system.base, caller_http2);
                of_answer(caller.sees("/reset", || ()).await, None)
            }
            _ if to_http2 => http2.cut(by, caller_http2).await?,
            _ => http1.cut(by, caller_http2).await?,
        };
        let name = format!(
            "{by:?}, HTTP/{} to HTTP/{}",
            1 + u8::from(caller_http2),
            1 + u8::from(to_http2)
        );
        let counted = cuts.counted.entry(name).or_default();
        counted.0 += 1;
        match taken {
            Taken::ForCut => {}
            Taken::ForEnd => counted.1 += 1,
            Taken::Whole => cuts.whole += 1,
        }
        bar.inc(1);
    }
    for system in [&http1.system, &http2.system, &closing_system] {
        ends_are_seen(system).await?;
    }
    Ok(cuts)
}

/// Who takes everything for a cut has told nothing: streams that end are seen to.
async fn ends_are_seen(system: &System) -> anyhow::Result<()> {
    for http2 in [false, true] {
        let caller = Caller::new(&system.base, http2);
        let seen = caller.sees(&format!("/give?bytes={BYTES}"), || ()).await;
        ensure!(seen == Seen::Ended(BYTES), "{seen:?}");
    }
    Ok(())
}

/// An API, and the agents before it.
struct Place {
    api: Api,
    system: System,
}

impl Place {
    async fn start(http2: bool) -> anyhow::Result<Self> {
        let api = Api::start(http2).await?;
        let system = system(&api, 16).await?;
        Ok(Self { api, system })
    }

    async fn cut(&mut self, by: By, caller_http2: bool) -> anyhow::Result<Taken> {
        let caller = Caller::new(&self.system.base, caller_http2);
        let slowly = format!("/give?bytes={BYTES}&pause_ms=20");
        Ok(match by {
            By::Api | By::ApiByReset => {
                let target = format!("/give?bytes={BYTES}&breaks=true");
                of_answer(caller.sees(&target, || ()).await, None)
            }
            By::ApiBeforeLength => {
                let told = 2 * BYTES;
                let target = format!("/give?bytes={BYTES}&breaks=true&told={told}");
                of_answer(caller.sees(&target, || ()).await, None)
            }
            By::Caller => self.upload(&caller, None).await,
            By::CallerBeforeLength => self.upload(&caller, Some(2 * BYTES)).await,
            By::Way => {
                let (hop, to) = (&self.system.hop, self.system.producer_address);
                of_answer(caller.sees(&slowly, || hop.divert(to)).await, Some(BYTES))
            }
            By::ConsumerKilled | By::ProducerKilled => {
                let (begun, go) = oneshot::channel();
                let reader = tokio::spawn(async move {
                    let begun = || {
                        let _ = begun.send(());
                    };
                    caller.sees(&slowly, begun).await
                });
                let _ = go.await;
                match by {
                    By::ConsumerKilled => self.system.consumer.crash().await?,
                    _ => self.system.producer.crash().await?,
                }
                let seen = reader.await?;
                self.system.until_served().await?;
                of_answer(seen, Some(BYTES))
            }
        })
    }

    /// An upload whose caller breaks off.
    async fn upload(&mut self, caller: &Caller, length: Option<u64>) -> Taken {
        let broken = stream::once(async {
            // So that what was sent before has reached the API.
            tokio::time::sleep(Duration::from_millis(100)).await;
            Err(std::io::Error::other("cut"))
        });
        let body = Body::from_stream(pieces(BYTES).map(Ok).chain(broken));
        let answered = caller.call(Method::PUT, "/take", length, body).await;
        let api = self.api.next_end().await;
        match (answered, api) {
            (_, Some(End::Ended)) => Taken::ForEnd,
            (Ok(answer), _) if answer.status().is_success() => Taken::ForEnd,
            _ => Taken::ForCut,
        }
    }
}

/// What a caller took an answer for, which may be mended if its whole length is given.
fn of_answer(seen: Seen, whole: Option<u64>) -> Taken {
    match seen {
        Seen::Ended(bytes) if Some(bytes) == whole => Taken::Whole,
        Seen::Ended(_) => Taken::ForEnd,
        Seen::Broke => Taken::ForCut,
    }
}

impl Cuts {
    pub fn taken_for_ends(&self) -> u32 {
        self.counted.values().map(|(_, ends)| ends).sum()
    }

    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows: Vec<_> = self
            .counted
            .iter()
            .map(|(name, (all, ends))| (format!("cut by {name}"), format!("{ends} of {all} ended")))
            .collect();
        rows.push(("cut, and whole all the same".into(), self.whole.to_string()));
        rows
    }
}
