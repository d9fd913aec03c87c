//! `Forwarded` (RFC 7239), by whose elements proxies tell whom they call for.

/// Whom each element of a line is for, the first first; empty for one that does not say. So is
/// a line that is malformed, as a whole: a client's quote without an end would have what a
/// proxy wrote after it for its own.
pub fn hops(line: &str) -> Vec<String> {
    elements(line).unwrap_or_else(|| vec![String::new()])
}

fn elements(line: &str) -> Option<Vec<String>> {
    let mut hops = Vec::new();
    let mut rest = line;
    loop {
        let (hop, after) = element(rest)?;
        hops.push(hop);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => return after.is_empty().then_some(hops),
        }
    }
}

/// `for` of the element that a text begins with, and what follows the element.
fn element(text: &str) -> Option<(String, &str)> {
    let mut named = None;
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            let (name, after) = rest.split_once('=')?;
            if name.is_empty() || name.contains([',', ';', '"', ' ', '\t']) {
                return None;
            }
            let (value, after) = value(after)?;
            if name.eq_ignore_ascii_case("for") && named.replace(value).is_some() {
                return None;
            }
            rest = after.trim_start();
        }
        match rest.strip_prefix(';') {
            Some(after) => rest = after,
            None => return Some((named.unwrap_or_default(), rest)),
        }
    }
}

/// The value that a text begins with, without quotes, and what follows it. Without quotes some
/// proxies write what needs them: a port, or an address of IPv6.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', '"', ' ', '\t']);
        let (value, after) = text.split_at(end.unwrap_or(text.len()));
        return (!value.is_empty()).then(|| (value.to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
}
