//! A checkpoint that was signed by an end's key and not by that end.

use armour_enclave::binding::LaneId;
use armour_protocol::v2::checkpoint::SignedCheckpoint;
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::{control_plane::session::Session, metrics::METRICS};

/// What the enclave says of it.
pub const FOREIGN_CHECKPOINT: &str = "foreign-checkpoint";

/// The finding: one of the ends' keys is in other hands. The ledger has no place for a
/// checkpoint, so its proof is in the agent's log alone, beside sub-messages that are reported.
pub struct ForeignCheckpoint {
    bundle: Uuid,
    lane: LaneId,
    /// `SignedCheckpoint`'s bytes, if it is at hand.
    proof: Option<String>,
}

impl ForeignCheckpoint {
    /// Of a lane's streams.
    pub fn of(bundle: Uuid, lane: LaneId, proof: Option<&SignedCheckpoint>) -> Self {
        Self {
            bundle,
            lane,
            proof: proof.map(|proof| STANDARD.encode(proof.to_bytes())),
        }
    }

    /// Says it to whoever looks after the endpoint: in the log, in a metric, and to the control
    /// plane with the next heartbeat, which is sent at once.
    pub fn tell(&self, session: &Session) {
        METRICS.foreign_checkpoints.add(1, &[]);
        let Self {
            bundle,
            lane,
            proof,
        } = self;
        tracing::error!(%bundle, lane = lane.lane, proof,
            "A CHECKPOINT THAT ITS END DID NOT SIGN: one of the bundle's keys is in other hands");
        session.note(format!(
            "bundle {bundle}: a checkpoint that its end did not sign; the bundle is ended"
        ));
        session.heartbeat_now();
    }
}
