//! What an endpoint needs to be told.

use std::{path::PathBuf, time::Duration};

use armour_ambient::Ambient;
use uuid::Uuid;

use crate::{access_log::AccessLog, floors::Floors, progress::Progress};

/// Who an endpoint is, whom it belongs to, and what it trusts.
#[derive(Debug, Clone)]
pub struct Options {
    /// The control plane, for example `http://127.0.0.1:7100`.
    pub control_plane: String,
    /// Where the endpoint's keys and identity are kept.
    pub data_dir: PathBuf,
    /// File of a one-use enrolment token; needed at the first start only.
    pub enrol_token_file: Option<PathBuf>,
    /// File of a token of this workload's own identity to enrol with instead; read anew at
    /// each try.
    pub enrol_identity_file: Option<PathBuf>,
    /// The tenant that the endpoint is to be of: one that is enrolled in another is not
    /// started. Needed to enrol by the workload's identity.
    pub tenant: Option<Uuid>,
    /// A key of the tenant's audit log, present or earlier, 32 bytes in base64; without it
    /// the one that the control plane tells first is taken and kept.
    pub log_key: Option<String>,
    /// Refuse an audit log that lost entries when its database was restored, though the
    /// log's key says so.
    pub refuse_restored_log: bool,
    /// JSON file of parties' keys that the enclave pins, read at its start: bundles then need
    /// the certificate of a party that is pinned, in their pair where a pin names it.
    pub pin_file: Option<PathBuf>,
    /// What bundles must have at least, whatever their pair's policy says.
    pub floors: Floors,
    /// What to do where the kernel cannot shut the enclave off as it should be.
    pub enclave_hardening: EnclaveHardening,
    /// PEM file of certificates that are trusted besides the system's authorities.
    pub tls_ca_file: Option<PathBuf>,
    /// The program that runs as the enclave; this one if absent.
    pub enclave_program: Option<PathBuf>,
    /// How long a service that a producer is laid around may take for a response's head, from the
    /// request's last byte, and for each piece of a request that it does not read; a minute, as
    /// an agent's upstream.
    pub answer_within: Duration,
    /// How many calls a producer's upstream takes at once; a call beyond is refused, and its
    /// consumer goes elsewhere. As many as come, if absent.
    pub upstream_limit: Option<u32>,
    /// The endpoint's name.
    pub name: String,
    /// The zone that it runs in, of which consumers in the same one are given bundles first.
    pub zone: Option<String>,
    /// What its start waits for.
    pub progress: Progress,
    /// Where its calls are noted.
    pub access_log: AccessLog,
    /// The time and the ids of what it signs.
    pub ambient: Ambient,
}

/// What to do where the enclave cannot be shut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnclaveHardening {
    /// Start, and say so loudly.
    Warn,
    /// Refuse to start.
    Require,
}

impl Options {
    /// What an endpoint needs at least; all else as an agent without flags has it.
    pub fn new(control_plane: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            control_plane: control_plane.into(),
            data_dir: data_dir.into(),
            enrol_token_file: None,
            enrol_identity_file: None,
            tenant: None,
            log_key: None,
            refuse_restored_log: false,
            pin_file: None,
            floors: Floors::default(),
            enclave_hardening: EnclaveHardening::Warn,
            tls_ca_file: None,
            enclave_program: None,
            answer_within: Duration::from_secs(60),
            upstream_limit: None,
            name: "agent".to_owned(),
            zone: None,
            progress: Progress::default(),
            access_log: AccessLog::default(),
            ambient: Ambient::system(),
        }
    }
}
