//! What becomes of a process whose endpoint has ended: it may go on as the same endpoint or as
//! another one, or it stays out until people act. A supervisor that started it again and again
//! would only repeat what was refused.

use std::{fs, io, path::Path, time::Duration};

use armour_client::ClientError;

use super::{ended::Ended, start::StartError};
use crate::options::Options;

/// What is left in the data folder while the endpoint in it is being forgotten.
const FORGETTING: &str = "forgetting";
/// What makes the folder this endpoint's: its keys, and what was said under them.
const OWN: [&str; 4] = ["keys", "starts", "endpoint.json", "public-keys.json"];
/// A start that has not heard of the control plane for this many heartbeats may have been ended
/// for that.
const MISSED: u32 = 3;

/// What a process does whose endpoint has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It begins another start of the same endpoint.
    StartAnew,
    /// It forgets the endpoint and enrols as a new one.
    EnrolAnew,
    /// It serves nothing, and says why.
    StayOut,
    /// It ends: something is wrong in this process, and another may do better.
    End,
}

/// What is to be done after this end, of an endpoint that had not heard of the control plane for
/// so long.
pub fn next(ended: Ended, silence: Duration, heartbeat: Duration, options: &Options) -> Next {
    match ended {
        // While it could not be heard it was given up, or another took its place: the next start
        // tells which, and a copy of this one is found by it. One that was heard of until now
        // was chosen against, by people, and would only have them asked again.
        Ended::Start if silence > heartbeat * MISSED => Next::StartAnew,
        // Nobody holds anything against who it is.
        Ended::Unknown if options.enrol_identity_file.is_some() => Next::EnrolAnew,
        Ended::Start | Ended::Unknown | Ended::Revoked | Ended::Collided => Next::StayOut,
        Ended::TooLarge | Ended::Left | Ended::Intruded | Ended::Enclave => Next::End,
    }
}

/// Why the endpoint has ended, if that is why it could not be opened.
pub fn ended(error: &anyhow::Error) -> Option<Ended> {
    error.chain().find_map(|cause| {
        let started = cause.downcast_ref::<StartError>();
        match started {
            Some(StartError::Ended(ended)) => Some(*ended),
            Some(StartError::Refused(_)) => None,
            None => cause
                .downcast_ref::<Ended>()
                .copied()
                .or_else(|| Ended::of(cause.downcast_ref::<ClientError>()?)),
        }
    })
}

/// Forgets the endpoint of this data folder, so that the next start enrols. What was seen of the
/// log and of peers is kept: it is not the endpoint's, and holds for the next one as well.
///
/// # Errors
/// If the folder cannot be written; the next start goes on with it.
pub fn forget(folder: &Path) -> io::Result<()> {
    match fs::write(folder.join(FORGETTING), "") {
        // Somebody has taken it away whole.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => resume_forgetting(folder),
    }
}

/// Ends what a process before this one began: half of an identity is of no use.
///
/// # Errors
/// If the folder cannot be written.
pub fn resume_forgetting(folder: &Path) -> io::Result<()> {
    let marker = folder.join(FORGETTING);
    if !marker.exists() {
        return Ok(());
    }
    for name in OWN {
        remove(&folder.join(name))?;
    }
    remove(&marker)
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(5);

    fn of(ended: Ended, silence: u64, has_identity: bool) -> Next {
        let mut options = Options::new("http://127.0.0.1:9", "/nowhere");
        options.enrol_identity_file = has_identity.then(|| "/token".into());
        next(ended, Duration::from_secs(silence), HEARTBEAT, &options)
    }

    #[test]
    fn an_endpoint_that_is_not_known_enrols_anew_where_its_workload_is_vouched_for() {
        assert_eq!(of(Ended::Unknown, 0, true), Next::EnrolAnew);
        assert_eq!(of(Ended::Unknown, 0, false), Next::StayOut);
    }

    #[test]
    fn a_start_that_ended_in_silence_is_followed_by_another_and_one_that_people_ended_is_not() {
        assert_eq!(of(Ended::Start, 60, true), Next::StartAnew);
        assert_eq!(of(Ended::Start, 60, false), Next::StartAnew);
        assert_eq!(of(Ended::Start, 1, true), Next::StayOut);
    }

    #[test]
    fn a_revoked_or_collided_endpoint_stays_out() {
        for ended in [Ended::Revoked, Ended::Collided] {
            assert_eq!(of(ended, 60, true), Next::StayOut);
        }
        assert_eq!(of(Ended::Enclave, 60, true), Next::End);
    }

    #[test]
    fn a_folder_is_forgotten_whole_though_a_process_died_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in OWN.into_iter().chain(["log-pin.json", "lock"]) {
            fs::write(at(name), "x").unwrap();
        }
        // It died after its first step.
        fs::write(at(FORGETTING), "").unwrap();
        fs::remove_file(at("keys")).unwrap();
        resume_forgetting(dir.path()).unwrap();
        let left = |name: &&str| at(name).exists();
        assert!(!OWN.iter().any(left) && !at(FORGETTING).exists());
        assert!(at("log-pin.json").exists() && at("lock").exists());
        resume_forgetting(dir.path()).unwrap();
        forget(&at("taken-away")).unwrap();
    }
}
