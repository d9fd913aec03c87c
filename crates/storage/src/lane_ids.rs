//! What names a lane.

use uuid::Uuid;

use crate::{decode::corrupt, error::Result};

/// A bundle and one of its lanes.
pub type LaneId = (Uuid, u16);

/// The columns that name lanes.
pub(crate) fn columns(lanes: &[LaneId]) -> (Vec<Uuid>, Vec<i32>) {
    lanes
        .iter()
        .map(|(bundle, lane)| (*bundle, i32::from(*lane)))
        .unzip()
}

/// A lane, from the columns that name it.
pub(crate) fn lane_id(bundle: Uuid, lane: i32) -> Result<LaneId> {
    Ok((bundle, u16::try_from(lane).map_err(corrupt)?))
}
