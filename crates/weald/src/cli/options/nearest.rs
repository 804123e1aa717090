//! The known word that somebody meant.

/// The word of `known` that is nearest to `word`, if one is near.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let close = known.into_iter().map(|candidate| (distance(word, candidate), candidate));
    let (steps, candidate) = close.min()?;
    (steps <= 2 + word.len() / 4).then_some(candidate)
}

/// How many letters must be added, dropped or replaced to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_seen_through() {
        let known = ["listen", "bootstrap", "partitions"];
        assert_eq!(nearest("lisen", known), Some("listen"));
        assert_eq!(nearest("partition", known), Some("partitions"));
        assert_eq!(nearest("bootstarp", known), Some("bootstrap"));
        assert_eq!(nearest("color", known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
