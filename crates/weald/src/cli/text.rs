//! Bytes as people and scripts see them: text where it is text, otherwise hexadecimal or base64.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use weald_core::hex;

use super::failure::Failure;

/// How keys are written on the command line and in plain output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyForm {
    /// UTF-8 text; a key that is not shows as `0x` and hexadecimal digits.
    Text,
    /// Hexadecimal digits.
    Hex,
}

impl KeyForm {
    /// Reads a key that the user wrote.
    pub(crate) fn parse(self, text: &str) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Text => Ok(text.as_bytes().to_vec()),
            Self::Hex => from_hex(text),
        }
    }

    /// Writes a key for people.
    pub(crate) fn show(self, bytes: &[u8]) -> String {
        match self {
            Self::Text => plain(bytes),
            Self::Hex => hex::encode(bytes),
        }
    }
}

/// Text as it is; anything else, and text that would break the line, as `0x` and digits.
pub(crate) fn plain(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("0x{}", hex::encode(bytes)),
    }
}

/// Puts bytes into a JSON object: under `field` where they are UTF-8, otherwise under
/// `field_base64`.
pub(crate) fn put_bytes(object: &mut Map<String, Value>, field: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(field.to_owned(), text.into()),
        Err(_) => object.insert(format!("{field}_base64"), STANDARD.encode(bytes).into()),
    };
}

/// Reads back what [`put_bytes`] wrote; `None` when neither field is there or readable.
pub(crate) fn take_bytes(object: &Map<String, Value>, field: &str) -> Option<Vec<u8>> {
    if let Some(text) = object.get(field) {
        return Some(text.as_str()?.as_bytes().to_vec());
    }
    let encoded = object.get(&format!("{field}_base64"))?.as_str()?;
    STANDARD.decode(encoded).ok()
}

fn from_hex(text: &str) -> Result<Vec<u8>, Failure> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok_or_else(|| {
        Failure::usage(format_args!(
            "a key with --hex is an even number of digits 0-9 a-f, found {text:?}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_keys_are_read_and_shown() {
        let check = |text: &str, expected: Option<&[u8]>| {
            let parsed = KeyForm::Hex.parse(text).ok();
            assert_eq!(parsed.as_deref(), expected, "{text:?}");
        };
        check("", Some(b""));
        check("00fF", Some(&[0, 255]));
        check("0x10", Some(&[16]));
        check("1", None);
        check("zz", None);
        check("+1", None);
        assert_eq!(KeyForm::Hex.show(&[0, 255]), "00ff");
    }

    #[test]
    fn plain_output_stays_on_its_line() {
        assert_eq!(plain("größe".as_bytes()), "größe");
        assert_eq!(plain(b"a\nb"), "0x610a62");
        assert_eq!(plain(&[0xff]), "0xff");
    }

    #[test]
    fn bytes_round_trip_through_json() {
        for bytes in [b"".as_slice(), b"text", b"line\nbreak", &[0xff, 0, 1]] {
            let mut object = Map::new();
            put_bytes(&mut object, "value", bytes);
            assert_eq!(take_bytes(&object, "value").as_deref(), Some(bytes));
        }
        assert_eq!(take_bytes(&Map::new(), "value"), None);
        let mut wrong = Map::new();
        wrong.insert("value_base64".into(), "***".into());
        assert_eq!(take_bytes(&wrong, "value"), None);
    }
}
