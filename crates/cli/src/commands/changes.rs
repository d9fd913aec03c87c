//! Changes that are given as JSON.

use anyhow::{Context as _, bail};
use serde_json::Value;

/// An object with fields of it changed.
///
/// # Errors
/// If the changes are no JSON object.
pub(super) fn changed(mut object: Value, changes: &str) -> anyhow::Result<Value> {
    let changes: Value = serde_json::from_str(changes).context("the changes are not JSON")?;
    match (&mut object, changes) {
        (Value::Object(object), Value::Object(changes)) => object.extend(changes),
        _ => bail!("the changes must be a JSON object"),
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_are_not_named_keep_their_values() {
        let now = json!({ "suite": 1, "of a newer server": [2] });
        let changed = changed(now, r#"{ "suite": 2 }"#).unwrap();
        assert_eq!(changed, json!({ "suite": 2, "of a newer server": [2] }));
    }
}
