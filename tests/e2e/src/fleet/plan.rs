//! What the drill is told.

use std::time::Duration;

use clap::ValueEnum;

/// What the last line says, and the limits.
pub const FIGURES: &str = "\
The last line is one JSON object; a part that was not played has null for its figures. Each has a
limit, and the drill fails if one does not hold:
  spread                       how far the producer that is furthest from an equal share of the
                               calls is from it, as a part of that share: at most 0.2
  killed_safe_failed           GETs that failed once a producer was killed: 0; POSTs may fail by a
                               problem that says whether they ran
  killed_longest_wait_seconds  the longest that a caller waited then: below 1
  frozen_recovered_seconds     from a producer's falling silent (its network, then its process)
                               until the last call is over that failed or took more than a second:
                               at most 3
  failing_producer_share       the part of all calls that reached a producer whose API is late, or
                               fails at once: at most 0.05
  rolled_failed                calls that failed while all agents were replaced one by one: 0
  left_behind                  afterwards: lost endpoints, endpoints and bundles whose agents are
                               gone, what `armour doctor` calls broken: 0
  scaled_seconds               from the first start of many agents until each consumer is served and
                               each producer is called: at most 15; each producer then has half to
                               twice an equal share of the calls
  outage_60_failed             calls that failed while the control plane was away for less than the
                               lease: 0
  outage_150_recovered_seconds from its return after more than the lease until the last call is over
                               that failed: at most 2; before, all are refused once the lease ends
  outage_600_lost              simulated endpoints that were called lost after a long outage, though
                               each came back: 0; nor does any of their bundles end
  late                         calls that an API began after their deadline: 0
  twice                        POSTs that APIs began more than once: 0
  streams_refused              event streams that were refused or broke, and calls beside them that
                               failed: 0
In the part `strict` callers are refused by a problem within the agent's patience. Numbers in names
are of seconds by default. Durations can be shortened to try the drill; the limits stay.";

/// What to play, and how long.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// Only these parts, separated by commas; all if absent.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Part>,
    /// Calls a second, half of them POST; they go to all consumers' endpoints in turn.
    #[arg(long, default_value_t = 100)]
    pub rate: u32,
    /// Seconds of calls before anything is counted or done.
    #[arg(long, default_value_t = 10)]
    pub settle: u64,
    /// Seconds of calls over which shares are counted.
    #[arg(long, default_value_t = 30)]
    pub steady: u64,
    /// Seconds of calls after a producer was killed.
    #[arg(long, default_value_t = 30)]
    pub killed: u64,
    /// Seconds that a producer is silent.
    #[arg(long, default_value_t = 50)]
    pub frozen: u64,
    /// Seconds that a producer's API is late, and that it fails.
    #[arg(long, default_value_t = 60)]
    pub failing: u64,
    /// How many seconds late it is.
    #[arg(long, default_value_t = 30)]
    pub late_by: u64,
    /// How often all producers, and all consumers, are replaced.
    #[arg(long, default_value_t = 3)]
    pub rolls: u32,
    /// Agents of each role that start together.
    #[arg(long, default_value_t = 20)]
    pub scaled: usize,
    /// Seconds within which they are started.
    #[arg(long, default_value_t = 10)]
    pub scaled_within: u64,
    /// Seconds that the control plane is away, less than the lease.
    #[arg(long, default_value_t = 60)]
    pub short_outage: u64,
    /// Seconds that it is away, more than the lease.
    #[arg(long, default_value_t = 150)]
    pub long_outage: u64,
    /// Seconds of the lease in both outages.
    #[arg(long, default_value_t = 90)]
    pub lease: u64,
    /// Seconds that it is away from endpoints that are simulated.
    #[arg(long, default_value_t = 600)]
    pub silence: u64,
    /// How many endpoints are simulated; every tenth is a producer's.
    #[arg(long, default_value_t = 1_000)]
    pub simulated: usize,
    /// Event streams beside the calls through one pair.
    #[arg(long, default_value_t = 40)]
    pub streams: usize,
    /// Seconds that a consumer's agent tries for its caller (`--retry-for`); in the part `strict` 5
    /// at most.
    #[arg(long, default_value_t = 30)]
    pub retry_for: u64,
    /// Keep the folders of all processes, logs included, and say where they are.
    #[arg(long)]
    pub keep: bool,
}

/// A part of the drill; each has a fleet of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Whether calls are spread over the producers.
    Spread,
    /// A producer is killed.
    Killed,
    /// A producer falls silent: its network, then its process. The first needs root.
    Frozen,
    /// A producer's API is late, then fails at once.
    Failing,
    /// Producers and consumers are replaced one by one.
    Rolled,
    /// Many agents start together.
    Scaled,
    /// The control plane is away for less than the lease, and for more.
    Outage,
    /// It is away for long from many simulated endpoints.
    Silence,
    /// It is away from a pair that records each ticket before its call.
    Strict,
    /// Event streams beside calls, through one pair of agents.
    Streams,
}

impl Part {
    /// As it is chosen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Killed => "killed",
            Self::Frozen => "frozen",
            Self::Failing => "failing",
            Self::Rolled => "rolled",
            Self::Scaled => "scaled",
            Self::Outage => "outage",
            Self::Silence => "silence",
            Self::Strict => "strict",
            Self::Streams => "streams",
        }
    }
}

impl Plan {
    /// The parts to play, in order, each once.
    pub fn parts(&self) -> Vec<Part> {
        let chosen = |part: &Part| self.only.is_empty() || self.only.contains(part);
        Part::value_variants()
            .iter()
            .copied()
            .filter(chosen)
            .collect()
    }

    /// How long a consumer's agent tries for its caller.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.retry_for)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        plan: Plan,
    }

    fn parts(arguments: &[&str]) -> Vec<Part> {
        let arguments = ["drill"].iter().chain(arguments);
        Options::parse_from(arguments).plan.parts()
    }

    #[test]
    fn without_a_choice_all_parts_are_played() {
        assert_eq!(parts(&[]), Part::value_variants());
    }

    #[test]
    fn parts_that_are_chosen_are_played_once_and_in_their_order() {
        let chosen = parts(&["--only", "frozen,killed,frozen"]);
        assert_eq!(chosen, [Part::Killed, Part::Frozen]);
    }

    #[test]
    fn a_part_is_chosen_by_its_name() {
        for part in Part::value_variants() {
            assert_eq!(parts(&["--only", part.name()]), [*part]);
        }
    }
}
