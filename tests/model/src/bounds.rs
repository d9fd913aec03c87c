//! How much may happen in a run, and what is taken for granted.

/// Bounds and assumptions of a model.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Tickets that the consumer issues, openings included.
    pub tickets: u8,
    /// How many of these are without content.
    pub refreshes: u8,
    /// Bundles that the consumer draws.
    pub draws: u8,
    /// Whether the consumer retires bundles.
    pub retires: bool,
    /// Moments after the first.
    pub ticks: u8,
    /// Calls that the producer refuses for good though it could begin them.
    pub refusals: u8,
    /// Calls that it refuses for now.
    pub put_offs: u8,
    /// Calls that have begun and break off.
    pub aborts: u8,
    /// Crashes of the consumer's agent.
    pub consumer_crashes: u8,
    /// Crashes of the producer's agent.
    pub producer_crashes: u8,
    /// Restores of the database to an earlier state.
    pub restores: u8,
    /// The answer to a report may get lost; then the same is reported again.
    pub lossy_reports: bool,
    /// Tickets are in the ledger before a call is sent or begins.
    pub strict: bool,
    /// Tickets that a thief of the consumer's state issues.
    pub stolen_tickets: u8,
    /// Whether it opens a lane that the consumer never uses.
    pub stolen_lane: bool,
    /// Whether it names a receipt that nobody signed.
    pub invents: bool,
    /// Tickets that a thief of the producer's state answers.
    pub stolen_answers: u8,
    /// The thieves hold secrets and roots, and no incarnation key.
    pub strangers: bool,
    /// A finding is due even of what nobody remembers.
    pub due_anyway: bool,
    /// What is taken for granted.
    pub granted: Granted,
}

/// What is taken for granted. A scenario that drops one of these must fail.
#[derive(Debug, Clone, Copy)]
pub struct Granted {
    /// A crashed agent does not take with it what it had not reported. Under strict
    /// reporting, and in honest runs, it may.
    pub keeps_reports: bool,
    /// A consumer compares the ledger's heads with its own also of bundles that have ended.
    pub looks_last: bool,
    /// A producer does so, too.
    pub producer_looks_last: bool,
    /// A consumer can show the receipt that its last ticket names.
    pub shows_receipts: bool,
    /// Nothing stops the producer's proxy between its look at the clock and the API's
    /// first byte.
    pub never_freezes: bool,
    /// No machine is put back to an earlier state.
    pub never_resumes: bool,
    /// Who copied no incarnation key has none.
    pub keys_are_secret: bool,
}

impl Granted {
    /// All of it.
    pub const ALL: Self = Self {
        keeps_reports: true,
        looks_last: true,
        producer_looks_last: true,
        shows_receipts: true,
        never_freezes: true,
        never_resumes: true,
        keys_are_secret: true,
    };
}

impl Bounds {
    /// Next to nothing happens.
    const NONE: Self = Self {
        tickets: 3,
        refreshes: 0,
        draws: 1,
        retires: false,
        ticks: 0,
        refusals: 0,
        put_offs: 0,
        aborts: 0,
        consumer_crashes: 0,
        producer_crashes: 0,
        restores: 0,
        lossy_reports: false,
        strict: false,
        stolen_tickets: 0,
        stolen_lane: false,
        invents: false,
        stolen_answers: 0,
        strangers: false,
        due_anyway: false,
        granted: Granted::ALL,
    };
    /// Nobody steals: crashes of both ends between any two steps, and what they had not
    /// reported is lost; calls are late or refused, lanes given up, bundles retired.
    pub const CRASHES: Self = Self {
        draws: 2,
        retires: true,
        ticks: 1,
        refusals: 1,
        consumer_crashes: 1,
        producer_crashes: 1,
        lossy_reports: true,
        granted: Granted {
            keeps_reports: false,
            ..Granted::ALL
        },
        ..Self::NONE
    };
    /// Nobody steals: the database is restored, and an end crashes.
    pub const RESTORED: Self = Self {
        draws: 2,
        consumer_crashes: 1,
        restores: 1,
        ..Self::NONE
    };
    /// Nobody steals: calls are late, refused, put off, and break off; lanes are given up.
    pub const DEADLINES: Self = Self {
        refreshes: 1,
        ticks: 2,
        refusals: 1,
        put_offs: 1,
        aborts: 1,
        ..Self::NONE
    };
    /// The consumer is copied, at any moment.
    pub const CONSUMER_COPIED: Self = Self {
        stolen_tickets: 2,
        stolen_lane: true,
        invents: true,
        retires: true,
        ..Self::NONE
    };
    /// The producer is copied, at any moment.
    pub const PRODUCER_COPIED: Self = Self {
        stolen_answers: 2,
        retires: true,
        ..Self::NONE
    };
    /// Secrets and roots of both are copied, at any moment, and no key.
    pub const STRANGERS: Self = Self {
        stolen_tickets: 2,
        stolen_lane: true,
        stolen_answers: 2,
        strangers: true,
        ..Self::NONE
    };
    /// The consumer is copied, and both ends crash.
    pub const CONSUMER_COPIED_AND_CRASHES: Self = Self {
        draws: 2,
        stolen_tickets: 1,
        consumer_crashes: 1,
        producer_crashes: 1,
        ..Self::NONE
    };
    /// The producer is copied, and lanes are given up.
    pub const PRODUCER_COPIED_AND_LATE: Self = Self {
        ticks: 1,
        retires: false,
        ..Self::PRODUCER_COPIED
    };
    /// The producer is copied, and both ends crash.
    pub const PRODUCER_COPIED_AND_CRASHES: Self = Self {
        draws: 2,
        retires: false,
        consumer_crashes: 1,
        producer_crashes: 1,
        ..Self::PRODUCER_COPIED
    };
    /// As [`Bounds::CONSUMER_COPIED_AND_CRASHES`], but every ticket is in the ledger first,
    /// and crashes forget all else.
    pub const STRICT: Self = Self {
        strict: true,
        stolen_lane: true,
        granted: Granted {
            keeps_reports: false,
            ..Granted::ALL
        },
        ..Self::CONSUMER_COPIED_AND_CRASHES
    };
}
