//! What an agent's lives have in common: how one begins, and what comes after it.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use anyhow::{anyhow, bail};
use armour_endpoint::{
    DataDirLock,
    background::Background,
    control_plane::{
        coming_back::{self, Next},
        ended::Ended,
        session::{Session, Watcher},
    },
    listening::DRAIN,
    options::Options,
};
use tokio::task::JoinHandle;

use crate::{signals::Signals, standing::Standing};

/// How long until an agent comes back, at first and at most: what ended it may last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// A life that lasted longer is no sign of such trouble.
const LONG_LIFE: Duration = Duration::from_secs(600);

/// How often it is looked for another enrolment token.
const TOKEN_POLL: Duration = Duration::from_secs(1);
/// How long the last that callers and APIs are told may take to be sent.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How a life ended.
pub enum End {
    /// People, or a supervisor, asked for it.
    Asked,
    /// The endpoint did.
    Ended(Ended),
}

/// What came of an attempt to open an endpoint.
pub enum Opening<T> {
    /// It is open.
    Opened(T),
    /// It is to be tried again.
    Again,
    /// The agent was asked to stop.
    Over,
}

/// What comes after an endpoint's end.
pub struct Lives {
    options: Options,
    pause: Duration,
    /// Whether it was an endpoint before.
    before: bool,
    /// The enrolment token that this process has seen last: it works once.
    token: Option<String>,
}

impl Lives {
    /// The first is about to begin.
    pub fn new(options: Options) -> Self {
        Self {
            pause: FIRST_PAUSE,
            before: false,
            token: token(&options),
            options,
        }
    }

    /// What each is started with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The lock of the data folder: this one, or that of a folder which may be another one by now.
    ///
    /// # Errors
    /// If it cannot be made or locked.
    pub async fn lock(&self, held: Option<Arc<DataDirLock>>) -> anyhow::Result<Arc<DataDirLock>> {
        match held {
            Some(held) => Ok(held),
            None => {
                let (folder, progress) = (&self.options.data_dir, &self.options.progress);
                Ok(Arc::new(DataDirLock::take(folder, progress).await?))
            }
        }
    }

    /// What came of the attempt to open an endpoint.
    ///
    /// # Errors
    /// If it cannot be opened, never was, and has not ended.
    pub async fn opened<T>(
        &mut self,
        opened: anyhow::Result<T>,
        standing: &Standing,
        signals: &mut Signals,
    ) -> anyhow::Result<Opening<T>> {
        let error = match opened {
            Ok(opened) => {
                self.before = true;
                return Ok(Opening::Opened(opened));
            }
            Err(error) => error,
        };
        match coming_back::ended(&error) {
            Some(ended) => {
                // It was heard of just now.
                let silence = (Duration::ZERO, Duration::ZERO);
                let goes_on = self.after(ended, silence, Duration::ZERO, standing, signals);
                Ok(match goes_on.await? {
                    true => Opening::Again,
                    false => Opening::Over,
                })
            }
            None if self.before => {
                // A supervisor could only have it tried again and again.
                let why = format!("{error:#}");
                Ok(match self.stay_out(why, standing, signals).await? {
                    true => Opening::Again,
                    false => Opening::Over,
                })
            }
            None => Err(error),
        }
    }

    /// After this end of an endpoint that lived for so long: whether there is another life.
    ///
    /// # Errors
    /// If the process is to end, which it should not.
    pub async fn after(
        &mut self,
        ended: Ended,
        (silence, heartbeat): (Duration, Duration),
        lived: Duration,
        standing: &Standing,
        signals: &mut Signals,
    ) -> anyhow::Result<bool> {
        match self.go_on(ended, silence, heartbeat)? {
            Next::StayOut => return self.stay_out(ended, standing, signals).await,
            Next::EnrolAnew => {
                tracing::warn!("{ended}; enrolling as another endpoint");
                coming_back::forget(&self.options.data_dir)?;
            }
            Next::StartAnew | Next::End => tracing::warn!("{ended}; starting it anew"),
        }
        standing.starting();
        if lived > LONG_LIFE {
            self.pause = FIRST_PAUSE;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        self.options
            .progress
            .waits_for(format!("{pause:?} to pass, after {ended}"));
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(true),
            () = signals.next() => Ok(false),
        }
    }

    /// Serves nothing, and says why, until it is asked to stop: `false`. With another enrolment
    /// token, which people have given it since, it begins anew as another endpoint: `true`.
    async fn stay_out(
        &mut self,
        why: impl fmt::Display,
        standing: &Standing,
        signals: &mut Signals,
    ) -> anyhow::Result<bool> {
        tracing::error!("{why}; THIS AGENT STAYS OUT, and serves nothing until people act");
        standing.out(why);
        let given = async {
            loop {
                tokio::time::sleep(TOKEN_POLL).await;
                match token(&self.options) {
                    Some(token) if self.token.as_ref() != Some(&token) => return token,
                    _ => {}
                }
            }
        };
        let given = tokio::select! {
            given = given => given,
            () = signals.next() => return Ok(false),
        };
        tracing::warn!("another enrolment token is there: enrolling as another endpoint");
        self.token = Some(given);
        coming_back::forget(&self.options.data_dir)?;
        standing.starting();
        Ok(true)
    }

    fn go_on(&self, ended: Ended, silence: Duration, heartbeat: Duration) -> anyhow::Result<Next> {
        match coming_back::next(ended, silence, heartbeat, &self.options) {
            Next::End => bail!(ended),
            next => Ok(next),
        }
    }
}

/// Whether the control plane has been away for longer than the strictest lease.
pub fn lease_over<W: Watcher>(
    session: &Arc<Session>,
    watcher: &Arc<W>,
) -> impl Fn() -> bool + Send + use<W> {
    let session = Arc::downgrade(session);
    let watcher = Arc::downgrade(watcher);
    move || match (session.upgrade(), watcher.upgrade()) {
        (Some(session), Some(watcher)) => session.silence() > watcher.lease(),
        _ => false,
    }
}

/// Serves until SIGINT or SIGTERM, or until the endpoint has ended.
///
/// # Errors
/// If this process cannot go on, or serving ends by itself.
pub async fn until_ended(
    background: &mut Background,
    serving: &mut JoinHandle<anyhow::Result<()>>,
    signals: &mut Signals,
) -> anyhow::Result<End> {
    tokio::select! {
        error = background.ended() => match error.downcast::<Ended>() {
            Ok(ended) => Ok(End::Ended(ended)),
            Err(error) => Err(error),
        },
        ended = serving => {
            ended??;
            Err(anyhow!("nothing is served any more"))
        }
        () = signals.next() => Ok(End::Asked),
    }
}

/// Waits until what was asked to stop serving has ended, for a while.
pub async fn served_to_the_end(serving: &mut JoinHandle<anyhow::Result<()>>) {
    if tokio::time::timeout(DRAIN, serving).await.is_err() {
        tracing::warn!("some requests were still under way");
    }
}

/// Waits until those have heard of it whose calls were ended, for a moment: a WebSocket's last
/// frame says so.
pub async fn last_words(serving: &mut JoinHandle<anyhow::Result<()>>) {
    if !serving.is_finished() {
        let _ = tokio::time::timeout(LAST_WORDS, serving).await;
    }
}

/// This, unless it is hastened by another signal.
pub async fn unless_hastened(
    what: impl Future<Output = ()>,
    signals: &mut Signals,
    hasten: impl FnOnce(),
) {
    tokio::pin!(what);
    tokio::select! {
        () = &mut what => return,
        () = signals.next() => tracing::warn!("asked again; hastening"),
    }
    hasten();
    what.await;
}

/// The enrolment token that the agent is given now.
fn token(options: &Options) -> Option<String> {
    let file = options.enrol_token_file.as_deref()?;
    let token = std::fs::read_to_string(file).ok()?;
    Some(token).filter(|token| !token.trim().is_empty())
}
