//! `armour demo clone`: a thief copies a live consumer's state, both act, and
//! the collision cuts both off.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use armour_api::{Bundle, BundleState, Problem};
use armour_client::Client;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::{
    enrol,
    summary::{self, Run},
    thief::Thief,
};
use crate::terminal::print_line;
use crate::{
    access::{Access, As},
    dev::DevEnvironment,
};

/// What `armour demo clone` is told.
#[derive(Debug, Args)]
pub struct CloneDemo {
    /// How often.
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// Leave the pair disconnected after the last run.
    #[arg(long)]
    leave: bool,
}

impl CloneDemo {
    pub(super) async fn run(&self, data: PathBuf, access: &Access) -> anyhow::Result<()> {
        let stage = Stage::open(data, access)?;
        let mut runs = Vec::new();
        let bar = ProgressBar::new(self.runs.into());
        if self.runs == 1 {
            bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        bar.set_style(ProgressStyle::with_template(
            "{bar:30} {pos}/{len} clones  {msg}",
        )?);
        for number in 0..self.runs {
            let run = stage.play(number % 2 == 0, self.runs == 1).await?;
            if run.caught.is_none() || run.refused.is_none() || run.collisions != 1 {
                bar.println(format!("run {number}: NOT CAUGHT"));
            }
            runs.push(run);
            bar.inc(1);
            if !(self.leave && number + 1 == self.runs) {
                stage.re_arm(self.runs == 1).await?;
            }
        }
        bar.finish_and_clear();
        summary::print(&runs)
    }
}

/// A running `armour dev` and where the thief's files are.
struct Stage {
    data: PathBuf,
    environment: DevEnvironment,
    operator: Client,
    http: reqwest::Client,
}

impl Stage {
    fn open(data: PathBuf, access: &Access) -> anyhow::Result<Self> {
        Ok(Self {
            environment: DevEnvironment::read(&data)?,
            operator: access.client(&data, As::Operator)?,
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(60))
                .build()?,
            data,
        })
    }

    async fn play(&self, thief_first: bool, aloud: bool) -> anyhow::Result<Run> {
        let say = |text: String| {
            if aloud {
                // The demonstration goes on to its end, whoever reads it.
                let _ = print_line!("{text}");
            }
        };
        let owner = format!("http://{}", self.environment.consumer);
        say(format!(
            "1. The owner calls through its agent: {}",
            self.call(&owner).await?
        ));
        let bundle = self.bundle().await?;
        say(format!(
            "   Its tickets are of bundle {} ({} exchanges).",
            bundle.id, bundle.exchanges
        ));
        let before = self.collisions(&bundle).await?;
        let thief = Thief::steal(&self.data).await?;
        say(format!(
            "2. A thief copies the agent's whole state into process {}.",
            thief.pid()
        ));
        let (first, second, names) = match thief_first {
            true => (&thief.address, &owner, ("thief", "owner")),
            false => (&owner, &thief.address, ("owner", "thief")),
        };
        say(format!(
            "3. The {} acts first, and is served: {}",
            names.0,
            self.call(first).await?
        ));
        say(format!(
            "4. The {} acts: its ticket contradicts the one already spent.",
            names.1
        ));
        let since = Instant::now();
        let (answer, caught) =
            tokio::join!(self.try_call(second), self.disconnected(&bundle, since));
        let answer = answer.map_or_else(
            |error| format!("{error:#}"),
            |body| format!("SERVED {body}"),
        );
        say(format!("   It got: {answer}"));
        match caught {
            Some(time) => say(format!(
                "   Collision: the ledger cut the bundle off {time:.1?} after that ticket."
            )),
            None => say("   NO COLLISION WAS SEEN".to_owned()),
        }
        let refused = self.both_refused(&owner, &thief.address, since).await;
        match refused {
            Some(time) => say(format!(
                "5. Owner and thief are refused from {time:.1?} on; every ticket is dead."
            )),
            None => say("5. SOMEBODY IS STILL SERVED".to_owned()),
        }
        let collisions = self.collisions(&bundle).await? - before;
        Ok(Run {
            thief_first,
            caught,
            refused,
            collisions,
        })
    }

    async fn re_arm(&self, aloud: bool) -> anyhow::Result<()> {
        enrol::anew(&self.operator, &self.data, &self.environment).await?;
        self.operator
            .re_arm(self.environment.pair, "demonstration")
            .await?;
        let owner = format!("http://{}", self.environment.consumer);
        let since = Instant::now();
        while let Err(error) = self.try_call(&owner).await {
            if since.elapsed() > Duration::from_secs(20) {
                return Err(error.context("the pair did not come back after it was re-armed"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if aloud {
            let _ = print_line!(
                "6. An operator enrols the owner anew and re-arms the pair: it is served after {:.1?}.",
                since.elapsed()
            );
            let _ = print_line!(
                "   The thief's copy is worth nothing: its keys are nobody's any more."
            );
        }
        Ok(())
    }

    async fn call(&self, base: &str) -> anyhow::Result<String> {
        self.try_call(base)
            .await
            .with_context(|| format!("a call to {base} that should have been served"))
    }

    async fn try_call(&self, base: &str) -> anyhow::Result<String> {
        let answer = self
            .http
            .get(format!("{base}/echo?id=served"))
            .send()
            .await?;
        let status = answer.status();
        let body = answer.text().await?;
        match status.is_success() {
            true => Ok(format!("{status}, {body:?}")),
            false => {
                let problem = serde_json::from_str::<Problem>(&body);
                bail!(
                    "{status}, {}",
                    problem.map_or(body, |problem| problem.r#type)
                )
            }
        }
    }

    /// The pair's active bundle.
    async fn bundle(&self) -> anyhow::Result<Bundle> {
        let page = self.operator.bundles(Some(self.environment.pair)).await?;
        page.items
            .into_iter()
            .find(|bundle| bundle.state == BundleState::Active)
            .context("the pair has no active bundle")
    }

    async fn disconnected(&self, bundle: &Bundle, since: Instant) -> Option<Duration> {
        while since.elapsed() < Duration::from_secs(20) {
            let now = self.operator.bundle(bundle.id).await;
            if now.is_ok_and(|bundle| bundle.state == BundleState::Disconnected) {
                return Some(since.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        None
    }

    async fn both_refused(&self, owner: &str, thief: &str, since: Instant) -> Option<Duration> {
        while since.elapsed() < Duration::from_secs(20) {
            let (one, two) = tokio::join!(self.try_call(owner), self.try_call(thief));
            if one.is_err() && two.is_err() {
                return Some(since.elapsed());
            }
        }
        None
    }

    async fn collisions(&self, bundle: &Bundle) -> anyhow::Result<usize> {
        let page = self.operator.collisions().await?;
        let of_it = page
            .items
            .iter()
            .filter(|found| found.bundle_id == Some(bundle.id));
        Ok(of_it.count())
    }
}
