//! Half-open ranges of keys.

use std::ops::Bound;

use bytes::Bytes;

/// Keys from `start` (included) to `end` (excluded; `None` goes to the last key).
///
/// A range whose end is not above its start is empty. The key just above `k` is `k` with a zero
/// byte appended, so every range of byte strings can be written this way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    start: Bytes,
    end: Option<Bytes>,
}

impl KeyRange {
    /// Keys from `start` to just below `end`.
    pub fn new(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: Some(end.into()) }
    }

    /// Every key.
    pub fn all() -> Self {
        Self { start: Bytes::new(), end: None }
    }

    /// Keys from `start` on.
    pub fn from(start: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: None }
    }

    /// Keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        // The first key above all of them: drop trailing 0xff, then add one to the last byte.
        let end = start.iter().rposition(|byte| *byte != u8::MAX).map(|last| {
            let mut end = start[..=last].to_vec();
            end[last] += 1;
            Bytes::from(end)
        });
        Self { start, end }
    }

    /// The first key that may be in the range.
    pub fn start(&self) -> &Bytes {
        &self.start
    }

    /// The first key above the range, if it has an end.
    pub fn end(&self) -> Option<&Bytes> {
        self.end.as_ref()
    }

    /// Whether no key can be in it.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// Whether `key` is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && self.end.as_ref().is_none_or(|end| key < &end[..])
    }

    /// As the bounds that ordered maps take. Those panic on inverted bounds: check
    /// [`KeyRange::is_empty`] first.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let end = self.end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        (Bound::Included(&self.start[..]), end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_range_holds_exactly_the_keys_with_that_prefix() {
        let table: [(&[u8], &[u8], bool); 7] = [
            (b"ab", b"ab", true),
            (b"ab", b"ab\xff\xff", true),
            (b"ab", b"ac", false),
            (b"ab", b"aa\xff", false),
            (b"a\xff", b"a\xff\xff", true),
            (b"a\xff", b"b", false),
            (b"\xff\xff", b"\xff\xff\xff", true),
        ];
        for (prefix, key, inside) in table {
            let range = KeyRange::prefix(prefix.to_vec());
            assert_eq!(range.contains(key), inside, "prefix={prefix:?} key={key:?}");
        }
        assert!(KeyRange::prefix(Vec::new()).contains(b"anything"));
    }

    #[test]
    fn an_inverted_range_is_empty() {
        assert!(KeyRange::new(&b"b"[..], &b"a"[..]).is_empty());
        assert!(KeyRange::new(&b"b"[..], &b"b"[..]).is_empty());
        assert!(!KeyRange::new(&b"b"[..], &b"b\0"[..]).is_empty());
        assert!(!KeyRange::all().is_empty());
    }
}
