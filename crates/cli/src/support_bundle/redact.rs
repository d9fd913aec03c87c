//! Takes secrets out of what is collected. Nothing that is a secret is collected on purpose; this is
//! for logs and settings that hold one all the same.

use serde_json::Value;

/// What stands in a secret's place.
const REDACTED: &str = "[redacted]";
/// Names of members and fields that hold secrets.
const NAMES: [&str; 7] = [
    "authorization",
    "cookie",
    "password",
    "private",
    "secret",
    "token",
    "api-key",
];
/// What names a secret in a line of text, in front of `:` or `=`.
const FIELDS: [&str; 7] = [
    "authorization",
    "cookie",
    "api-key",
    "password",
    "passwd",
    "passphrase",
    "secret",
];
/// Names that hold what tells of a secret.
const HARMLESS: [&str; 7] = ["_at", "_by", "_file", "_id", "_in", "_name", "_type"];
/// The longest part of a word of ours that is no secret: a UUID in hexadecimal is longer.
const LONGEST_PART: usize = 21;

/// Knows some secrets, and how others look.
pub struct Redactor {
    known: Vec<String>,
}

impl Redactor {
    /// One that knows these.
    pub fn new(known: impl IntoIterator<Item = String>) -> Self {
        // Nothing short is a secret of ours, and it might be anywhere.
        let known = known.into_iter().filter(|secret| secret.len() >= 12);
        Self {
            known: known.collect(),
        }
    }

    /// A text without secrets.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.known {
            text = text.replace(secret, REDACTED);
        }
        let mut keeps_key = false;
        let lines: Vec<String> = text
            .split('\n')
            .filter_map(|line| {
                // A private key, from its first line to its last.
                if line.contains("-----BEGIN") && line.contains("PRIVATE KEY") {
                    keeps_key = true;
                    return Some(REDACTED.to_owned());
                }
                if keeps_key {
                    keeps_key = !line.contains("-----END");
                    return None;
                }
                Some(words(&addresses(&fields(line))))
            })
            .collect();
        lines.join("\n")
    }

    /// A document without secrets.
    pub fn json(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Value::Object(members) => {
                for (name, member) in members {
                    match member {
                        Value::String(text) if is_secret(name) => REDACTED.clone_into(text),
                        other => self.json(other),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether a member of this name holds a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let harmless = HARMLESS.iter().any(|end| name.ends_with(end));
    !harmless && NAMES.iter().any(|one| name.contains(one))
}

/// A line in which what follows `Authorization:` and the like is gone, to its end.
fn fields(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let ends = FIELDS.iter().filter_map(|name| {
        let at = lower.find(name)? + name.len();
        let rest = lower[at..].trim_start_matches(['"', '\'', ' ']);
        rest.starts_with([':', '=']).then_some(at)
    });
    match ends.min() {
        Some(at) => format!("{}: {REDACTED}", &line[..at]),
        None => line.to_owned(),
    }
}

/// A line without names and passwords in addresses, whatever characters they are of (RFC 3986,
/// section 3.2.1, and what people write all the same).
fn addresses(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"<>".contains(c));
        let (address, next) = after.split_at(end.unwrap_or(after.len()));
        let authority = &address[..address.find(['/', '?', '#']).unwrap_or(address.len())];
        // A password that holds what ends an authority leaves one whose port is none.
        let port = authority.split_once(':').map_or("", |(_, port)| port);
        let is_port = authority.starts_with('[') || port.bytes().all(|byte| byte.is_ascii_digit());
        let at = match authority.rfind('@') {
            None if !is_port => address.rfind('@'),
            at => at,
        };
        if let Some(at) = at {
            out.push_str(REDACTED);
            out.push_str(&address[at..]);
        } else {
            out.push_str(address);
        }
        rest = next;
    }
    out.push_str(rest);
    out
}

/// A line without tokens.
fn words(line: &str) -> String {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || "_-:/@.%+~=&?#".contains(c);
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(is_of_word) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
        out.push_str(&tokens(&rest[..end]));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// A word without our tokens, `armour_` and parts of which some are long, and without web tokens,
/// three parts of which the first is an object in base64.
fn tokens(word: &str) -> String {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let mut out = String::with_capacity(word.len());
    for part in word.split_inclusive(|c| !is_of_token(c)) {
        let token = part.trim_end_matches(|c| !is_of_token(c));
        let ours = token.contains("armour_")
            && token
                .split(['_', '-', '.'])
                .any(|part| part.len() > LONGEST_PART);
        let web = token.starts_with("eyJ") && token.matches('.').count() == 2;
        match ours || web {
            true => {
                out.push_str(REDACTED);
                out.push_str(&part[token.len()..]);
            }
            false => out.push_str(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redacted(text: &str) -> String {
        Redactor::new(["0123456789abcdef".to_owned()]).text(text)
    }

    #[test]
    fn what_looks_like_a_secret_is_taken_out_and_the_rest_stays() {
        let token = format!("armour_api_{}_{}", "a".repeat(32), "b".repeat(43));
        for (text, kept) in [
            ("with 0123456789abcdef in it", "with [redacted] in it"),
            (&format!("--token {token}, and"), "--token [redacted], and"),
            (&format!("\"{token}\""), "\"[redacted]\""),
            (&format!("?token={token}&x=1"), "?token=[redacted]&x=1"),
            ("Authorization: Bearer abc", "Authorization: [redacted]"),
            ("a Set-Cookie=\"a=b\" c", "a Set-Cookie: [redacted]"),
            ("eyJhbGciOi.eyJzdWIi.c2ln x", "[redacted] x"),
            (
                "at postgres://armour:pw@db:5432/armour?x=1 now",
                "at postgres://[redacted]@db:5432/armour?x=1 now",
            ),
            (
                "HTTPS_PROXY=http://armour:Pa$$w0rd@proxy:3128",
                "HTTPS_PROXY=http://[redacted]@proxy:3128",
            ),
            (
                "'postgres://armour:p!'/#@w@db/x' and http://[::1]:80/a@b",
                "'postgres://[redacted]@db/x' and http://[::1]:80/a@b",
            ),
            ("user=a password=b c", "user=a password: [redacted]"),
            ("armour_http_requests_total{route=\"/v1\"} 7", ""),
            ("https://armour.example.com/v1/pairs?cursor=a@b", ""),
            ("the cookie jar, authorization failed", ""),
            ("", ""),
        ] {
            let kept = if kept.is_empty() { text } else { kept };
            assert_eq!(redacted(text), kept);
        }
    }

    #[test]
    fn a_private_key_is_taken_out_whole() {
        let pem = "a\n-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\nb";
        assert_eq!(redacted(pem), "a\n[redacted]\nb");
    }

    #[test]
    fn members_that_hold_secrets_are_taken_out_of_documents() {
        let mut value = json!({
            "token": "x", "token_id": "y", "secret": ["0123456789abcdef"],
            "items": [{ "client_secret": "z", "name": "shop" }],
        });
        Redactor::new(["0123456789abcdef".to_owned()]).json(&mut value);
        let expected = json!({
            "token": REDACTED, "token_id": "y", "secret": [REDACTED],
            "items": [{ "client_secret": REDACTED, "name": "shop" }],
        });
        assert_eq!(value, expected);
    }
}
