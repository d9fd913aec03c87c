//! How an API is told that a request came without protection.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The field that says so. An agent alone says it.
const PROTECTION: &str = "armour-protection";

/// Marks a request that came without protection.
#[derive(Debug, Clone, Copy)]
pub struct Unprotected;

/// Takes away what callers say of a request's protection, and says what is true of it. Servers that
/// make variables of fields take `_` for `-`.
pub fn mark(headers: &mut HeaderMap, is_plain: bool) {
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().replace('_', "-") == PROTECTION)
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
    if is_plain {
        headers.insert(PROTECTION, HeaderValue::from_static("none"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_say_of_their_protection_is_taken_away() {
        for name in ["armour-protection", "armour_protection"] {
            for is_plain in [true, false] {
                let mut headers = HeaderMap::new();
                headers.append(name, HeaderValue::from_static("full"));
                headers.append(name, HeaderValue::from_static("fuller"));
                mark(&mut headers, is_plain);
                let marked = headers.get_all(PROTECTION).iter().collect::<Vec<_>>();
                assert_eq!(marked.len(), usize::from(is_plain));
                assert_eq!(headers.len(), marked.len());
                assert!(marked.iter().all(|value| *value == "none"));
            }
        }
    }
}
