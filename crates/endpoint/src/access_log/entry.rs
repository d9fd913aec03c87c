//! What is known of a call, and its line.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use http::StatusCode;
use serde_json::Value;
use strum::IntoStaticStr;
use uuid::Uuid;

use super::field::Field;
use crate::wire::{problem::Ran, problem_type::ProblemType};

/// Whose agent a call is noted at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Side {
    /// The one beside the caller.
    Consumer,
    /// The one before the API.
    Producer,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Ended {
    /// All of it was handed on.
    Whole,
    /// It broke off.
    Broken,
    /// Its caller left before.
    Left,
}

/// All that is known of a call.
pub(super) struct Entry {
    pub began: DateTime<Utc>,
    pub side: Side,
    pub protected: bool,
    pub trace: Option<String>,
    pub request_id: Option<String>,
    pub pair: Option<Uuid>,
    pub bundle: Option<Uuid>,
    pub lane: Option<u16>,
    pub ticket: Option<u64>,
    pub peer: Option<Uuid>,
    pub address: Option<String>,
    pub method: Option<String>,
    pub path: Option<String>,
    pub query: Option<String>,
    pub version: Option<&'static str>,
    pub user_agent: Option<String>,
    pub status: Option<StatusCode>,
    pub upstream_status: Option<StatusCode>,
    pub problem: Option<ProblemType>,
    pub ran: Option<Ran>,
    pub ended: Ended,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub duration: Duration,
    pub upstream_duration: Option<Duration>,
    pub retries: u32,
}

impl Entry {
    /// A call of which nothing is known yet.
    pub fn new(began: DateTime<Utc>, side: Side) -> Self {
        Self {
            began,
            side,
            protected: true,
            trace: None,
            request_id: None,
            pair: None,
            bundle: None,
            lane: None,
            ticket: None,
            peer: None,
            address: None,
            method: None,
            path: None,
            query: None,
            version: None,
            user_agent: None,
            status: None,
            upstream_status: None,
            problem: None,
            ran: None,
            ended: Ended::Left,
            request_bytes: 0,
            response_bytes: 0,
            duration: Duration::ZERO,
            upstream_duration: None,
            retries: 0,
        }
    }

    /// Whether people look for it: a refusal, an answer of 500 and above, or one that broke off.
    /// A caller that leaves is no failure.
    pub fn is_failure(&self) -> bool {
        let is_error = self.status.is_some_and(|status| status.is_server_error());
        self.problem.is_some() || is_error || self.ended == Ended::Broken
    }

    /// Its line, of these fields in this order; what is not known is left out.
    pub fn line(&self, fields: &[Field]) -> Vec<u8> {
        let mut line = Vec::with_capacity(512);
        for field in fields {
            let Some(value) = self.value(*field) else {
                continue;
            };
            line.push(if line.is_empty() { b'{' } else { b',' });
            line.extend_from_slice(Value::from(field.name()).to_string().as_bytes());
            line.push(b':');
            line.extend_from_slice(value.to_string().as_bytes());
        }
        if line.is_empty() {
            line.push(b'{');
        }
        line.extend_from_slice(b"}\n");
        line
    }

    fn value(&self, field: Field) -> Option<Value> {
        let word = |word: &'static str| Some(Value::from(word));
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let id = |id: Option<Uuid>| id.map(|id| Value::from(id.to_string()));
        match field {
            Field::Timestamp => Some(
                self.began
                    .to_rfc3339_opts(SecondsFormat::Millis, true)
                    .into(),
            ),
            Field::TraceId => text(&self.trace),
            // The conventions have fields' values as lists.
            Field::RequestId => self.request_id.clone().map(|id| Value::from(vec![id])),
            Field::Side => word(self.side.into()),
            Field::Protected => Some(self.protected.into()),
            Field::Pair => id(self.pair),
            Field::Bundle => id(self.bundle),
            Field::Lane => self.lane.map(Value::from),
            Field::Ticket => self.ticket.map(Value::from),
            Field::Peer => id(self.peer),
            Field::Address => text(&self.address),
            Field::Method => text(&self.method),
            Field::Path => text(&self.path),
            Field::Query => text(&self.query),
            Field::Version => self.version.map(Value::from),
            Field::UserAgent => text(&self.user_agent),
            Field::Status => self.status.map(|status| status.as_u16().into()),
            Field::Problem => self.problem.map(|problem| problem.name().into()),
            Field::Ran => self.ran.map(|ran| ran.name().into()),
            Field::Ended => word(self.ended.into()),
            Field::RequestBytes => Some(self.request_bytes.into()),
            Field::ResponseBytes => Some(self.response_bytes.into()),
            Field::Duration => Some(seconds(self.duration)),
            Field::UpstreamDuration => self.upstream_duration.map(seconds),
            Field::UpstreamStatus => self.upstream_status.map(|status| status.as_u16().into()),
            Field::Retries => Some(self.retries.into()),
        }
    }
}

/// To the microsecond.
fn seconds(duration: Duration) -> Value {
    let micros = u32::try_from(duration.as_micros() % 1_000_000).unwrap_or(0);
    let rounded = Duration::new(duration.as_secs(), micros * 1_000);
    rounded.as_secs_f64().into()
}
