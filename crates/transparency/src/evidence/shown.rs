//! What a check of evidence has shown so far.

/// What evidence shows, in sentences for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Whether two messages that no single holder of the endpoint's state signs, both signed,
    /// prove the collision by themselves.
    pub proven: bool,
    /// What was checked, one sentence each.
    pub checked: Vec<String>,
    /// What rests on somebody's word.
    pub rests_on: Vec<String>,
}

impl Shown {
    pub(super) fn checked(&mut self, sentence: impl Into<String>) {
        self.checked.push(sentence.into());
    }

    pub(super) fn rests_on(&mut self, sentence: impl Into<String>) {
        self.rests_on.push(sentence.into());
    }

    /// This much proves the collision.
    pub(super) fn proves(&mut self, sentence: impl Into<String>) {
        self.checked(sentence);
        self.proven = true;
    }
}

/// What stands on both sides.
pub type Said<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Both.
///
/// # Errors
/// If one is missing.
pub fn both(said: Said<'_>) -> Result<(&[u8], &[u8]), String> {
    match said {
        (Some(recorded), Some(reported)) => Ok((recorded, reported)),
        _ => Err("one of the two messages is missing".into()),
    }
}
