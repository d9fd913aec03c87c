//! An application's calls, each with an id: what its caller was told, and what the upstream
//! saw.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use serde_json::Value;

use super::{stage::big, told::Told};
use crate::process::until;

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A POST, which may run once at most, and is answered with its id.
    Post,
    /// A PUT that is too long to be held and sent again.
    Upload,
    /// A GET whose answer comes as a stream; it may run again.
    Download,
}

/// What a caller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    Never,
    Unknown,
}

/// The calls of one life.
pub struct Calls {
    base: String,
    /// What ids begin with.
    life: String,
    http: reqwest::Client,
    made: Mutex<Vec<(String, Kind, Fate)>>,
    wrong: Mutex<u64>,
}

impl Calls {
    /// To a consumer's agent.
    ///
    /// # Errors
    /// If there is no client.
    pub fn new(base: String, life: String) -> anyhow::Result<Self> {
        Ok(Self {
            base,
            life,
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(120))
                .build()?,
            made: Mutex::default(),
            wrong: Mutex::default(),
        })
    }

    /// Calls, each time with another id, until one is acknowledged.
    ///
    /// # Errors
    /// If none is.
    pub async fn until_served(&self, kind: Kind) -> anyhow::Result<()> {
        until(&format!("{kind:?}"), || async {
            let served = self.call(kind).await == Fate::Acknowledged;
            if !served {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            served
        })
        .await
    }

    async fn call(&self, kind: Kind) -> Fate {
        let place = {
            let mut made = self.made.lock();
            let id = format!("{}-{}", self.life, made.len());
            // Until more is known.
            made.push((id, kind, Fate::Unknown));
            made.len() - 1
        };
        let id = self.made.lock()[place].0.clone();
        let base = &self.base;
        let request = match kind {
            Kind::Post => self.http.post(format!("{base}/echo?id={id}")),
            Kind::Upload => self
                .http
                .put(format!("{base}/upload/{id}?id={id}"))
                .body(vec![7; 400_000]),
            Kind::Download => self.http.get(format!("{base}/big?id={id}")),
        };
        let fate = self.fate(kind, &id, request).await;
        self.made.lock()[place].2 = fate;
        fate
    }

    async fn fate(&self, kind: Kind, id: &str, request: reqwest::RequestBuilder) -> Fate {
        let answer = match request.send().await {
            Ok(answer) => answer,
            // The agent is not there: it has not been asked.
            Err(error) if error.is_connect() => return Fate::Never,
            Err(_) => return Fate::Unknown,
        };
        let served = answer.status().is_success();
        let Ok(body) = answer.bytes().await else {
            return Fate::Unknown;
        };
        if !served {
            let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
            return match problem["ran"].as_str() {
                Some("no") => Fate::Never,
                _ => Fate::Unknown,
            };
        }
        let right = match kind {
            Kind::Post => body == id.as_bytes(),
            Kind::Upload => true,
            Kind::Download => body == big(),
        };
        *self.wrong.lock() += u64::from(!right);
        Fate::Acknowledged
    }

    /// Holds what callers were told against the upstream's log.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn compare(
        &self,
        log: impl Fn() -> std::io::Result<String>,
        told: &mut Told,
    ) -> anyhow::Result<()> {
        let made = self.made.lock().clone();
        // nginx writes a request down once it has been answered.
        let written = until("the upstream's log", || async {
            let ran = log().map(|log| self.ran(&log)).unwrap_or_default();
            made.iter()
                .filter(|(_, _, fate)| *fate == Fate::Acknowledged)
                .all(|(id, _, _)| ran.contains_key(id))
        });
        // Where it never does, the call was lost.
        let _ = written.await;
        let ran = self.ran(&log()?);
        for (id, kind, fate) in &made {
            let times = ran.get(id).copied().unwrap_or(0);
            told.run_twice += u64::from(times > 1 && *kind != Kind::Download);
            told.ran_after_all += u64::from(times > 0 && *fate == Fate::Never);
            told.lost += u64::from(times == 0 && *fate == Fate::Acknowledged);
            told.unknown += u64::from(*fate == Fate::Unknown);
        }
        told.wrong += *self.wrong.lock();
        Ok(())
    }

    /// How often the upstream ran each of these calls.
    fn ran(&self, log: &str) -> HashMap<String, u32> {
        let mut ran = HashMap::new();
        for line in log.lines() {
            let target = line.split(' ').nth(1).unwrap_or_default();
            let id = target.split_once("id=").map(|(_, id)| id);
            if let Some(id) = id.filter(|id| id.starts_with(&self.life)) {
                *ran.entry(id.to_owned()).or_default() += 1;
            }
        }
        ran
    }
}
