//! One line of an export.

use std::time::Duration;

use serde_json::{Map, Value};
use weald::Retention;

use crate::cli::{failure::Failure, text::take_bytes};

/// A line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The first line: the version of the format.
    Format(u64),
    /// A collection begins.
    Collection {
        /// Its name.
        name: String,
        /// A tree; otherwise a diary.
        is_tree: bool,
        /// How much of it is kept, if it is made.
        retention: Retention,
    },
    /// An entry of a tree.
    TreeEntry {
        /// The tree.
        name: String,
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// An entry of a diary.
    DiaryEntry {
        /// The diary.
        name: String,
        /// Its sequence where it was exported.
        sequence: u64,
        /// The content.
        entry: Vec<u8>,
    },
}

impl Line {
    /// Reads line `number`.
    pub(super) fn parse(line: &[u8], number: u64) -> Result<Self, Failure> {
        let object: Map<String, Value> = serde_json::from_slice(line)
            .map_err(|error| wrong(number, &format!("not a JSON object: {error}")))?;
        Self::from_object(&object).ok_or_else(|| wrong(number, "not a line of an export"))
    }

    fn from_object(object: &Map<String, Value>) -> Option<Self> {
        let text = |field: &str| Some(object.get(field)?.as_str()?.to_owned());
        if let Some(format) = object.get("weald_export") {
            return Some(Self::Format(format.as_u64()?));
        }
        if let Some(name) = text("collection") {
            let is_tree = match object.get("type")?.as_str()? {
                "tree" => true,
                "diary" => false,
                _ => return None,
            };
            return Some(Self::Collection { name, is_tree, retention: retention(object)? });
        }
        if let Some(name) = text("tree") {
            let key = take_bytes(object, "key")?;
            return Some(Self::TreeEntry { name, key, value: take_bytes(object, "value")? });
        }
        let name = text("diary")?;
        let sequence = object.get("sequence")?.as_u64()?;
        Some(Self::DiaryEntry { name, sequence, entry: take_bytes(object, "entry")? })
    }
}

/// The line cannot be imported. Lines before it were.
pub(super) fn wrong(number: u64, what: &str) -> Failure {
    Failure::usage(format_args!("line {number} of the import: {what}"))
}

fn retention(object: &Map<String, Value>) -> Option<Retention> {
    let Some(retention) = object.get("retention") else { return Some(Retention::ALL) };
    let number = |field: &str| match retention.get(field) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_u64().map(Some),
    };
    Some(Retention {
        age_max: number("age_max_ms")?.map(Duration::from_millis),
        entries_max: number("entries_max")?,
        bytes_max: number("bytes_max")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Line> {
        Line::parse(line.as_bytes(), 7).ok()
    }

    #[test]
    fn each_kind_of_line_is_read() {
        assert_eq!(parse(r#"{"weald_export":1}"#), Some(Line::Format(1)));
        let retention = Retention { entries_max: Some(5), ..Retention::ALL };
        assert_eq!(
            parse(r#"{"collection":"a","type":"diary","retention":{"entries_max":5}}"#),
            Some(Line::Collection { name: "a".into(), is_tree: false, retention })
        );
        assert_eq!(
            parse(r#"{"tree":"a","key_base64":"/w==","value":"v"}"#),
            Some(Line::TreeEntry { name: "a".into(), key: vec![0xff], value: b"v".to_vec() })
        );
        assert_eq!(
            parse(r#"{"diary":"a","sequence":3,"entry":"e"}"#),
            Some(Line::DiaryEntry { name: "a".into(), sequence: 3, entry: b"e".to_vec() })
        );
    }

    #[test]
    fn what_is_not_a_line_of_an_export_is_refused_with_its_number() {
        for line in [
            "",
            "[]",
            "{}",
            r#"{"tree":"a","key":"k"}"#,
            r#"{"diary":"a","entry":"e"}"#,
            r#"{"collection":"a","type":"queue"}"#,
            r#"{"collection":"a","type":"tree","retention":{"entries_max":"all"}}"#,
        ] {
            let failure = Line::parse(line.as_bytes(), 7).unwrap_err();
            assert!(format!("{failure:?}").contains("line 7"), "{line}: {failure:?}");
        }
    }
}
