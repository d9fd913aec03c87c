//! What the checks found, in order.

use serde::Serialize;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and will not for ever, or less safely.
    Warning,
    /// It does not work.
    Broken,
    /// Nothing could be found out.
    Skipped,
}

/// What one check found.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What.
    pub check: &'static str,
    /// How it is.
    pub state: State,
    /// What was seen.
    pub found: String,
    /// What to do.
    pub mend: Option<String>,
}

/// Findings, in order.
#[derive(Default)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    pub fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.push(check, State::Ok, found, None);
    }

    pub fn warning(&mut self, check: &'static str, found: impl Into<String>, mend: &str) {
        self.push(check, State::Warning, found, Some(mend));
    }

    pub fn broken(&mut self, check: &'static str, found: impl Into<String>, mend: &str) {
        self.push(check, State::Broken, found, Some(mend));
    }

    pub fn skipped(&mut self, check: &'static str, found: impl Into<String>) {
        self.push(check, State::Skipped, found, None);
    }

    fn push(
        &mut self,
        check: &'static str,
        state: State,
        found: impl Into<String>,
        mend: Option<&str>,
    ) {
        self.0.push(Finding {
            check,
            state,
            found: found.into(),
            mend: mend.map(str::to_owned),
        });
    }
}
