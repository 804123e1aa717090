//! Counters in Prometheus' text form.

/// The sum of all samples whose name `is_meant`; none when there is none of it.
pub(crate) fn sum(text: &str, is_meant: impl Fn(&str) -> bool) -> Option<f64> {
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(sample);
    let values: Vec<f64> =
        samples.filter(|(name, _)| is_meant(name)).map(|(_, value)| value).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// The sum of all samples of a counter; none when there is no such counter.
pub(crate) fn count(text: &str, name: &str) -> Option<u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let values = lines.filter_map(|line| {
        let (found, _) = sample(line)?;
        let value = line.rsplit(['}', ' ']).find(|word| !word.is_empty())?;
        (found == name).then(|| value.parse::<u64>().ok())?
    });
    values.reduce(|one, other| one + other)
}

/// The counter with exactly these labels, as they are written between the braces; none when there is no such counter.
pub(crate) fn labelled_count(text: &str, name: &str, labels: &str) -> Option<u64> {
    let whole = match labels {
        "" => name.to_owned(),
        _ => format!("{name}{{{labels}}}"),
    };
    let value = text.lines().find_map(|line| line.strip_prefix(&whole)?.strip_prefix(' '))?;
    value.split_whitespace().next()?.parse().ok()
}

/// Name and value; labels may hold blanks and braces in quotes, values may be followed by a time.
fn sample(line: &str) -> Option<(&str, f64)> {
    let (name, rest) = match line.find('{') {
        Some(open) => (&line[..open], &line[line.rfind('}')? + 1..]),
        None => line.split_once(' ')?,
    };
    Some((name.trim(), rest.split_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_name_are_added_over_their_labels() {
        let text = "# HELP a b\n# TYPE a counter\na{x=\"1 }\"} 3\na{x=\"2\"} 4 1700000000\nab 7\n";
        assert_eq!(sum(text, |name| name == "a"), Some(7.0));
        assert_eq!(sum(text, |name| name.starts_with('a')), Some(14.0));
        assert_eq!(sum(text, |name| name == "c"), None);
        assert_eq!(sum("nonsense", |_| true), None);
        let text = "# TYPE c counter\nc{x=\"1 }\"} 3\nc 4\ncd 7\n";
        assert_eq!((count(text, "c"), count(text, "x")), (Some(7), None));
        let labelled = |name, labels| labelled_count(text, name, labels);
        assert_eq!((labelled("c", "x=\"1 }\""), labelled("c", "")), (Some(3), Some(4)));
        assert_eq!((labelled("c", "x=\"2\""), labelled("d", "")), (None, None));
    }
}
