//! What an agent counts: `docs/metrics.md` lists all of it. Labels have few values, each
//! of them a word of ours.

use std::{sync::LazyLock, time::Duration};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram},
};
use strum::{EnumIter, IntoEnumIterator, IntoStaticStr};

use crate::consumer::trouble::Trouble;

/// Bounds of durations, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// What a ticket was that a producer was brought: the label `kind`. After a good signature
/// `conflict`, `foreign` and `elsewhere` do not follow, so somebody holds a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum TicketKind {
    /// The one that follows.
    Next,
    /// The one accepted last, again.
    Repeat,
    /// One from before that.
    Older,
    /// Another one in the place of the one accepted last.
    Conflict,
    /// It names another receipt than this producer's.
    Foreign,
    /// It fits nowhere.
    Elsewhere,
    /// The enclave took it for nobody's.
    Invalid,
}

/// Why a stream was ended before its end: the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum CutReason {
    /// It was not re-keyed in its time.
    Rekey,
    /// The control plane has been out of reach for longer than the lease.
    Lease,
}

/// The instruments.
pub struct Metrics {
    /// A consumer's calls, by what came of them.
    calls: Counter<u64>,
    /// From a call's head until its response's.
    call_durations: Histogram<f64>,
    /// Tickets that a producer was brought, by what they were.
    tickets: Counter<u64>,
    /// Streams that were re-keyed.
    pub rekeyings: Counter<u64>,
    /// Checkpoints that were signed by an end's key and not by that end.
    pub foreign_checkpoints: Counter<u64>,
    /// Streams that were ended before their end, by why.
    streams_cut: Counter<u64>,
    /// From a request until its upstream's response began.
    upstream_durations: Histogram<f64>,
    /// Bundles issued to this consumer.
    pub bundles_issued: Counter<u64>,
    /// A consumer's calls that were made anew, by why.
    calls_again: Counter<u64>,
    /// Times that a producer's endpoint was left out, by why.
    ejections: Counter<u64>,
}

/// This process's instruments.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    let meter = opentelemetry::global::meter("armour");
    let seconds = |name: &'static str| {
        let histogram = meter.f64_histogram(name).with_unit("s");
        histogram.with_boundaries(SECONDS.to_vec()).build()
    };
    Metrics {
        calls: meter.u64_counter("armour_agent_calls").build(),
        call_durations: seconds("armour_agent_call_duration"),
        tickets: meter.u64_counter("armour_agent_tickets").build(),
        rekeyings: meter.u64_counter("armour_agent_rekeyings").build(),
        foreign_checkpoints: meter
            .u64_counter("armour_agent_foreign_checkpoints")
            .build(),
        streams_cut: meter.u64_counter("armour_agent_streams_cut").build(),
        upstream_durations: seconds("armour_agent_upstream_duration"),
        bundles_issued: meter.u64_counter("armour_agent_bundles_drawn").build(),
        calls_again: meter.u64_counter("armour_agent_calls_again").build(),
        ejections: meter.u64_counter("armour_agent_ejections").build(),
    }
});

impl Metrics {
    /// A consumer's call has been answered, or refused for the reason given.
    pub fn call(&self, outcome: &'static str, took: Duration) {
        self.calls.add(1, &[KeyValue::new("outcome", outcome)]);
        self.call_durations.record(took.as_secs_f64(), &[]);
    }

    /// A consumer's call is made anew, after what is named by this kind of refusal.
    pub fn call_again(&self, reason: &'static str) {
        self.calls_again.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// A producer's endpoint is left out.
    pub fn ejected(&self, trouble: Trouble) {
        let reason: &'static str = trouble.into();
        self.ejections.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// A producer was brought a ticket.
    pub fn ticket(&self, kind: TicketKind) {
        self.add_tickets(1, kind);
    }

    /// Tells what has not happened yet to streams as 0.
    pub fn begin_streams(&self) {
        self.rekeyings.add(0, &[]);
        self.foreign_checkpoints.add(0, &[]);
        for reason in CutReason::iter() {
            self.add_streams_cut(0, reason);
        }
    }

    /// Tells what has not happened yet as 0: an alert on a rise needs a beginning.
    pub fn begin_tickets(&self) {
        for kind in TicketKind::iter() {
            self.add_tickets(0, kind);
        }
    }

    fn add_tickets(&self, count: u64, kind: TicketKind) {
        let kind: &'static str = kind.into();
        self.tickets.add(count, &[KeyValue::new("kind", kind)]);
    }

    /// A stream was ended before its end.
    pub fn stream_cut(&self, reason: CutReason) {
        self.add_streams_cut(1, reason);
    }

    fn add_streams_cut(&self, count: u64, reason: CutReason) {
        let reason: &'static str = reason.into();
        let labels = [KeyValue::new("reason", reason)];
        self.streams_cut.add(count, &labels);
    }

    /// An upstream has answered.
    pub fn upstream(&self, took: Duration) {
        self.upstream_durations.record(took.as_secs_f64(), &[]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MANUAL: &str = include_str!("../../../docs/metrics.md");
    const ALERTS: &str = include_str!("../../../helm/armour/templates/prometheusrule.yaml");

    fn words() -> BTreeSet<&'static str> {
        TicketKind::iter().map(Into::into).collect()
    }

    /// What stands between two texts, of the first place that has both.
    fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
        let (_, rest) = text.split_once(before).unwrap();
        rest.split_once(after).unwrap().0
    }

    #[test]
    fn the_manual_lists_each_kind_of_ticket() {
        let listed = between(MANUAL, "tickets that a producer was brought: ", " |");
        let listed: BTreeSet<&str> = listed.split(", ").collect();
        assert_eq!(listed, words());
    }

    #[test]
    fn the_manual_lists_each_reason_that_ends_a_stream() {
        let listed = between(MANUAL, "streams that were ended before their end: ", " |");
        let listed: BTreeSet<&str> = listed.split(", ").collect();
        let words: BTreeSet<&str> = CutReason::iter().map(Into::into).collect();
        assert_eq!(listed, words);
    }

    #[test]
    fn the_manual_lists_each_reason_that_a_producer_is_left_out_for() {
        let listed = between(
            MANUAL,
            "times that a producer's endpoint was left out: ",
            " |",
        );
        let listed: BTreeSet<&str> = listed.split(", ").collect();
        let words: BTreeSet<&str> = Trouble::iter().map(Into::into).collect();
        assert_eq!(listed, words);
    }

    #[test]
    fn the_alert_on_tickets_names_kinds_that_there_are() {
        let named = between(ALERTS, "armour_agent_tickets_total{kind=~\"", "\"}");
        let named: BTreeSet<&str> = named.split('|').collect();
        assert_eq!(named, BTreeSet::from(["conflict", "elsewhere", "foreign"]));
        assert!(named.is_subset(&words()));
    }
}
