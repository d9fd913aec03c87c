//! The length that a message tells of its content (RFC 9110, section 8.6).

use http::{HeaderMap, header};

/// What a message tells is no length, or more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoLength;

/// The length that a message tells, if it does.
///
/// # Errors
/// [`NoLength`].
pub fn told(headers: &HeaderMap) -> Result<Option<u64>, NoLength> {
    let mut told = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = told.next() else {
        return Ok(None);
    };
    // Rust's numbers may have a sign.
    let digits = first.to_str().ok();
    let digits = digits.filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|digits| digits.parse().ok());
    match told.next() {
        None => length.map(Some).ok_or(NoLength),
        Some(_) => Err(NoLength),
    }
}

/// What is left of the content of a message that told its length.
#[derive(Debug, Clone, Copy)]
pub struct Left(Option<u64>);

impl Left {
    /// All of a response's content. That to a `HEAD`, or a 304, has none, whatever it tells
    /// (RFC 9110, section 6.4.1).
    ///
    /// # Errors
    /// [`NoLength`].
    pub fn of(response: &HeaderMap, bodiless: bool) -> Result<Self, NoLength> {
        let told = told(response)?;
        Ok(Self(if bodiless { Some(0) } else { told }))
    }

    /// Takes a piece off; whether there was as much.
    pub fn take(&mut self, length: usize) -> bool {
        match self.0.as_mut() {
            None => true,
            Some(left) => match left.checked_sub(length as u64) {
                Some(rest) => {
                    *left = rest;
                    true
                }
                None => false,
            },
        }
    }

    /// Whether content that ends here is as long as was told.
    pub fn may_end(self) -> bool {
        self.0.is_none_or(|left| left == 0)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn told_by(values: &[&'static str]) -> Result<Option<u64>, NoLength> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_LENGTH, HeaderValue::from_static(value));
        }
        told(&headers)
    }

    #[test]
    fn one_number_is_a_length() {
        assert_eq!(told_by(&[]), Ok(None));
        assert_eq!(told_by(&["0"]), Ok(Some(0)));
        assert_eq!(told_by(&["4"]), Ok(Some(4)));
        for none in [&["+4"][..], &["4", "4"], &["4, 4"], &[""], &["-1"], &["a"]] {
            assert_eq!(told_by(none), Err(NoLength), "{none:?}");
        }
    }
}
