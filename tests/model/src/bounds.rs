//! How much may happen in a run, and what is taken for granted.

/// Bounds and assumptions of a model.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Tickets that the owner issues, the opening exchange's included.
    pub owner_tickets: u8,
    /// Tickets that the thief issues; 0 for no theft.
    pub thief_tickets: u8,
    /// Bundles that the owner draws.
    pub draws: u8,
    /// Bundles that the thief draws.
    pub thief_draws: u8,
    /// Whether the thief also opens a lane that the owner never uses.
    pub thief_lane: bool,
    /// Crashes of the consumer's agent.
    pub owner_crashes: u8,
    /// Crashes of the producer's agent.
    pub producer_crashes: u8,
    /// Restores of the database to an earlier state.
    pub restores: u8,
    /// Tickets are in the ledger before an exchange counts.
    pub strict: bool,
    /// The network may hold a message for longer than a superseded bundle's grace.
    pub slow_network: bool,
    /// A crashed producer's agent may take with it what it had not reported.
    pub forgets_reports: bool,
    /// The owner is due a collision even where both ends forgot the thief's tickets.
    pub keeps_accounts: bool,
    /// The consumer looks at the ledger's heads before it gives up a bundle.
    pub looks_last: bool,
    /// The consumer tells the ledger when its bundle was superseded by another's draw.
    pub disowns_draws: bool,
}

impl Bounds {
    /// No theft: crashes of both ends.
    pub const CRASHES: Self = Self {
        owner_tickets: 3,
        thief_tickets: 0,
        draws: 2,
        thief_draws: 0,
        thief_lane: false,
        owner_crashes: 1,
        producer_crashes: 1,
        restores: 0,
        strict: false,
        slow_network: false,
        forgets_reports: true,
        keeps_accounts: false,
        looks_last: true,
        disowns_draws: true,
    };
    /// No theft: the database is restored, and an end crashes.
    pub const RESTORED: Self = Self {
        producer_crashes: 0,
        restores: 1,
        ..Self::CRASHES
    };
    /// A theft at any moment.
    pub const THEFT: Self = Self {
        owner_tickets: 2,
        thief_tickets: 2,
        draws: 1,
        thief_lane: true,
        owner_crashes: 0,
        producer_crashes: 0,
        restores: 0,
        forgets_reports: false,
        ..Self::CRASHES
    };
    /// A theft, and the thief draws a bundle in the owner's name.
    pub const USURPED: Self = Self {
        owner_tickets: 2,
        thief_tickets: 1,
        draws: 2,
        thief_draws: 1,
        thief_lane: false,
        ..Self::THEFT
    };
    /// A theft and crashes of both ends; nothing unreported is lost.
    pub const THEFT_AND_CRASHES: Self = Self {
        owner_tickets: 3,
        thief_tickets: 1,
        draws: 2,
        owner_crashes: 1,
        producer_crashes: 1,
        thief_lane: false,
        ..Self::THEFT
    };
    /// The same where every ticket is in the ledger first, and crashes forget all else.
    pub const STRICT: Self = Self {
        strict: true,
        thief_lane: true,
        forgets_reports: true,
        ..Self::THEFT_AND_CRASHES
    };
}
