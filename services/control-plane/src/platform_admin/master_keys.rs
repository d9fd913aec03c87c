//! Versions of the master key: which one seals, and which ones are no more taken.

use armour_api::{KeyRotation, KeyState, ProblemType};
use armour_storage::{Actor, PlatformAction, Store, Tx};
use thiserror::Error;

use crate::{
    http::problem::{ApiResult, OperationError},
    identity::authn::Platform,
    platform_admin::rotation::{self, Secrets},
};

/// Why versions stay as they are.
#[derive(Debug, Clone, Copy, Error)]
pub enum MasterKeyError {
    /// The database knows no such version.
    #[error("no such version")]
    Unknown,
    /// The version is the one that seals.
    #[error("this version seals now; rotate to another first")]
    Active,
    /// Some secrets could not be opened any more.
    #[error("{0} secrets are still under this version; rotate first")]
    InUse(i64),
    /// This replica could not seal under the version.
    #[error("this replica has not loaded that version; give it to every replica first")]
    NotLoaded,
    /// One rotation at a time.
    #[error("another rotation is not finished yet")]
    RotationRunning,
}

impl OperationError for MasterKeyError {
    fn problem_type(&self) -> ProblemType {
        match self {
            Self::Unknown => ProblemType::NotFound,
            Self::Active => ProblemType::KeyActive,
            Self::InUse(_) => ProblemType::KeyInUse,
            Self::NotLoaded => ProblemType::KeyNotLoaded,
            Self::RotationRunning => ProblemType::RotationRunning,
        }
    }
}

/// Retires a version; one that was retired before stays so.
///
/// # Errors
/// [`MasterKeyError`], or if the database refuses.
pub async fn retire(store: &Store, platform: Platform, version: i32) -> ApiResult<()> {
    let left = rotation::count(store, Secrets::Under(version)).await?;
    let mut tx = platform.begin(store).await?;
    let known = tx.key_versions().list().await?;
    match known.iter().find(|key| key.version == version) {
        None => return Err(MasterKeyError::Unknown.into()),
        Some(key) if key.state == KeyState::Active => return Err(MasterKeyError::Active.into()),
        Some(key) if key.state == KeyState::Retired => return Ok(()),
        Some(_) => {}
    }
    check_no_rotation(&mut tx).await?;
    if left > 0 {
        return Err(MasterKeyError::InUse(left).into());
    }
    tx.key_versions().retire(version).await?;
    let action = PlatformAction::MasterKeyRetire { version };
    tx.audit_log().append(&Actor::Platform, action).await?;
    Ok(tx.commit().await?)
}

/// Has a version seal from now on, and begins to seal anew what is under others.
///
/// # Errors
/// [`MasterKeyError`], or if the database refuses.
pub async fn begin_rotation(
    store: &Store,
    platform: Platform,
    to_version: i32,
) -> ApiResult<KeyRotation> {
    if !store.keyring().holds(to_version) {
        return Err(MasterKeyError::NotLoaded.into());
    }
    // Before the activation, which makes all wait who seal something: what they add
    // meanwhile is sealed anew too, and only the progress does not know of it.
    let total = rotation::count(store, Secrets::NotUnder(to_version)).await?;
    let mut tx = platform.begin(store).await?;
    check_no_rotation(&mut tx).await?;
    tx.key_versions().activate(to_version).await?;
    let id = tx.new_id();
    let rotation = tx.rotations().create(id, to_version, total).await?;
    let action = PlatformAction::MasterKeyRotate {
        rotation: id,
        to_version,
        total,
    };
    tx.audit_log().append(&Actor::Platform, action).await?;
    tx.commit().await?;
    Ok(rotation)
}

async fn check_no_rotation(tx: &mut Tx) -> ApiResult<()> {
    let rotations = tx.rotations().list().await?;
    match rotations.iter().any(|one| one.finished_at.is_none()) {
        true => Err(MasterKeyError::RotationRunning.into()),
        false => Ok(()),
    }
}
