//! Names and keys in paths.

use std::fmt::Write as _;

/// `text` as one segment of a path: everything but letters, digits and `-._~` as `%XX`.
pub(crate) fn encoded(text: &str) -> String {
    let mut path = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_path_is_encoded() {
        assert_eq!(encoded("bank/a b%~"), "bank%2Fa%20b%25~");
        assert_eq!(encoded("\u{fc}"), "%C3%BC");
    }
}
