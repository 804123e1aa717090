//! Hexadecimal digits.

/// Two lower-case digits a byte.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(letter).collect()
}

/// The bytes that the digits stand for, in either case; `None` when the text is not an even number of
/// digits and nothing else.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    text.as_bytes().chunks(2).map(byte).collect()
}

/// The byte that two digits stand for; `None` when they are not two, or no digits.
pub fn byte(pair: &[u8]) -> Option<u8> {
    match pair {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    }
}

fn value(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

fn letter(value: u8) -> char {
    char::from_digit(value.into(), 16).expect("half a byte is below 16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_their_digits() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(decode(&encode(&all)), Some(all));
        assert_eq!(encode(&[0, 0x9f, 255]), "009fff");
        assert_eq!(decode("009FfF"), Some(vec![0, 0x9f, 255]));
        assert_eq!(decode(""), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_even_number_of_digits_is_refused() {
        for wrong in ["0", "000", "0g", "g0", "+1", " 1", "0x10", "\u{f6}"] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
    }
}
