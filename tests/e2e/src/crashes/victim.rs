//! Who is killed.

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// Proxy and enclave at once, as when a machine goes down.
    Consumer,
    ConsumersProxy,
    ConsumersEnclave,
    Producer,
    ProducersProxy,
    ProducersEnclave,
    ControlPlane,
}

impl Victim {
    /// Each of them.
    pub const ALL: [Self; 7] = [
        Self::Consumer,
        Self::ConsumersProxy,
        Self::ConsumersEnclave,
        Self::Producer,
        Self::ProducersProxy,
        Self::ProducersEnclave,
        Self::ControlPlane,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer's agent",
            Self::ConsumersProxy => "consumer's proxy alone",
            Self::ConsumersEnclave => "consumer's enclave alone",
            Self::Producer => "producer's agent",
            Self::ProducersProxy => "producer's proxy alone",
            Self::ProducersEnclave => "producer's enclave alone",
            Self::ControlPlane => "control plane",
        }
    }
}
