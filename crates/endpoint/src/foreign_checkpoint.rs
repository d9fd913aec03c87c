//! A checkpoint that was signed by an end's key and not by that end.

use armour_enclave::binding::LaneId;
use armour_protocol::v2::checkpoint::SignedCheckpoint;
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::{control_plane::session::Session, metrics::METRICS};

/// What the enclave says of it.
pub const FOREIGN_CHECKPOINT: &str = "foreign-checkpoint";

/// The finding: one of the ends' keys is in other hands.
pub struct ForeignCheckpoint(armour_api::ForeignCheckpoint);

impl ForeignCheckpoint {
    /// Of a lane's streams; with the checkpoint, if it is at hand: else a sub-message that was
    /// reported says what it is about.
    pub fn of(bundle: Uuid, lane: LaneId, proof: Option<&SignedCheckpoint>) -> Self {
        Self(armour_api::ForeignCheckpoint {
            bundle_id: bundle,
            lane: lane.lane.into(),
            checkpoint: proof.map(|proof| STANDARD.encode(proof.to_evidence())),
        })
    }

    /// Says it to whoever looks after the endpoint: in the log, in a metric, and to the control
    /// plane with the next heartbeat, which is sent at once.
    pub fn tell(self, session: &Session) {
        METRICS.foreign_checkpoints.add(1, &[]);
        let alarm = self.0;
        tracing::error!(bundle = %alarm.bundle_id, lane = alarm.lane, proof = alarm.checkpoint,
            "A CHECKPOINT THAT ITS END DID NOT SIGN: one of the bundle's keys is in other hands");
        session.note(format!(
            "bundle {}: a checkpoint that its end did not sign; the bundle is ended",
            alarm.bundle_id
        ));
        session.alarm(alarm);
        session.heartbeat_now();
    }
}
