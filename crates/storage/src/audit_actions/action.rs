//! What every action has.

/// An action as its entry has it: `Into` gives its word, `Serialize` its detail.
pub trait AuditAction: Copy + Into<&'static str> + serde::Serialize {
    /// What it was done to.
    fn target(&self) -> String;
}

/// Checks an action's word and target, and its detail to the byte.
#[cfg(test)]
pub(super) fn check(action: impl AuditAction, word: &str, target: &str, detail: &str) {
    assert_eq!(action.into(), word);
    assert_eq!(action.target(), target, "{word}");
    let says = serde_json::to_value(action).unwrap();
    assert_eq!(says.to_string(), detail, "{word}");
}
