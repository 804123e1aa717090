//! Percent-encoding: how names and keys, which are any bytes, stand in a URL and in JSON.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use weald_core::hex;

/// Why a text is not percent-encoded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a `%` is not followed by two hexadecimal digits: byte={at}")]
pub(crate) struct PercentError {
    /// Where the `%` stands.
    at: usize,
}

/// What stands for itself besides letters and digits.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes bytes: letters, digits and `-._~` stay, every other byte becomes `%XX`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, ESCAPED).to_string()
}

/// Decodes what [`encode`] wrote. A character that need not have been left alone stands for itself.
///
/// # Errors
/// When a `%` is not followed by two hexadecimal digits.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, PercentError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let wrong = PercentError { at: text.len() - behind.len() - 1 };
        let (digits, behind) = behind.split_at_checked(2).ok_or(wrong)?;
        bytes.push(hex::byte(digits).ok_or(wrong)?);
        rest = behind;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(decode(&encode(&all)), Ok(all));
        assert_eq!(encode("shop/größe 1".as_bytes()), "shop%2Fgr%C3%B6%C3%9Fe%201");
    }

    #[test]
    fn what_need_not_be_encoded_stands_for_itself() {
        let check = |text: &str, expected: &[u8]| assert_eq!(decode(text).unwrap(), expected);
        check("", b"");
        check("a+b", b"a+b");
        check("a/b", b"a/b");
        check("%2f%2F", b"//");
        check("ö", "ö".as_bytes());
    }

    #[test]
    fn half_an_escape_is_refused_with_its_place() {
        let check = |text: &str, at: usize| assert_eq!(decode(text), Err(PercentError { at }));
        check("%", 0);
        check("ab%2", 2);
        check("%zz", 0);
        check("%41%4g", 3);
        check("%+1", 0);
    }
}
