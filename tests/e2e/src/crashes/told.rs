//! What became of one life.

/// What became of one life.
#[derive(Debug, Default)]
pub struct Told {
    /// How many writes the victim did, before it was killed if it was.
    pub writes: u64,
    /// The write that it was killed at.
    pub killed: Option<String>,
    /// Collisions; nobody stole anything, so each is a false one.
    pub false_collisions: u64,
    /// Requests that may run once and ran twice.
    pub run_twice: u64,
    /// Requests that ran although their caller was told that they never would.
    pub ran_after_all: u64,
    /// Requests that were answered with 2xx and never ran.
    pub lost: u64,
    /// Answers that are another request's, or damaged.
    pub wrong: u64,
    /// Calls whose callers cannot know whether they ran.
    pub unknown: u64,
    /// Why it did not go on by itself, if it did not.
    pub stuck: Option<String>,
    /// Where its logs are, if something is wrong.
    pub kept: Option<String>,
}

impl Told {
    /// Whether nothing happened that must not.
    pub fn is_clean(&self) -> bool {
        self.false_collisions + self.run_twice + self.ran_after_all + self.lost + self.wrong == 0
            && self.stuck.is_none()
    }
}
