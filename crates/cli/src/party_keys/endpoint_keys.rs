//! What endpoints' hosts themselves say of their public keys: a folder of files
//! `{"signing_key":base64,"kem_key":base64}`, by whatever way they come there without the
//! control plane.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use armour_protocol::v2::identity::certificate::Subject;
use serde::Deserialize;

use super::encoding::{bytes32, public_key};

/// Keys that hosts say are theirs.
#[derive(Debug, Default)]
pub(super) struct EndpointKeys {
    keys: HashSet<([u8; 32], [u8; 32])>,
    /// Files that hold no keys, and why: one may be half written.
    pub(super) unread: Vec<(PathBuf, anyhow::Error)>,
}

#[derive(Deserialize)]
struct Written {
    signing_key: String,
    kem_key: String,
}

impl EndpointKeys {
    /// Reads a folder. Files whose names begin with a dot are no keys: Kubernetes mounts some.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let shown = || format!("read the folder {}", folder.display());
        let mut read = Self::default();
        for entry in fs::read_dir(folder).with_context(shown)? {
            let path = entry.with_context(shown)?.path();
            let hidden = path
                .file_name()
                .is_none_or(|name| name.to_string_lossy().starts_with('.'));
            if hidden || !path.is_file() {
                continue;
            }
            match one(&path) {
                Ok(keys) => drop(read.keys.insert(keys)),
                Err(why) => read.unread.push((path, why)),
            }
        }
        Ok(read)
    }

    /// Whether a host says that these keys are its own.
    pub(super) fn has(&self, subject: &Subject) -> bool {
        let keys = (subject.signing_key.to_bytes(), subject.kem_key);
        self.keys.contains(&keys)
    }
}

fn one(path: &Path) -> anyhow::Result<([u8; 32], [u8; 32])> {
    let written: Written = serde_json::from_slice(&fs::read(path)?)?;
    let signing_key = public_key(&written.signing_key).context("signing_key")?;
    let kem_key = bytes32(&written.kem_key).context("kem_key")?;
    Ok((signing_key.to_bytes(), kem_key))
}
