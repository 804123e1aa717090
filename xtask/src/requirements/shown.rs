//! Which tests exist, and which rows their names say they show.

use std::collections::{BTreeMap, BTreeSet};

use crate::rust_text::code_only;
use crate::sources::Source;

/// The tests of the sources.
#[derive(Debug, Default)]
pub(super) struct Tests {
    pub(super) names: BTreeSet<String>,
    pub(super) by_id: BTreeMap<String, BTreeSet<String>>,
}

impl Tests {
    /// What else the gate runs of one `kind`, each with the rows that it shows.
    pub(super) fn add<'s>(
        &mut self,
        kind: &str,
        all: impl Iterator<Item = (&'s str, &'s [&'s str])>,
    ) {
        for (name, ids) in all {
            let name = format!("{kind} {name}");
            for id in ids {
                self.by_id.entry((*id).to_owned()).or_default().insert(name.clone());
            }
            self.names.insert(name);
        }
    }
}

/// Every function behind a test attribute, those inside `proptest!` and inside macros too.
pub(super) fn by_tests(sources: &[Source]) -> Tests {
    let mut tests = Tests::default();
    for source in sources {
        for name in test_functions(&code_only(&source.text)) {
            for id in ids_in(&name) {
                tests.by_id.entry(id).or_default().insert(name.clone());
            }
            tests.names.insert(name);
        }
    }
    tests
}

fn test_functions(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in code.lines().map(str::trim) {
        if is_test_attribute(line) {
            is_test = true;
        }
        if let Some(name) = function_name(line) {
            names.extend(is_test.then_some(name));
            is_test = false;
        }
    }
    names
}

/// `#[test]`, `#[tokio::test]`, `#[tokio::test(flavor = ..)]`.
fn is_test_attribute(line: &str) -> bool {
    let Some((_, attribute)) = line.split_once("#[") else { return false };
    let path = attribute.split(['(', ']']).next().unwrap_or("").trim();
    path == "test" || path.ends_with("::test")
}

fn function_name(line: &str) -> Option<String> {
    let at = crate::rust_text::word_positions(line, "fn").first().copied()?;
    let name: String = line[at + 2..]
        .trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    Some(name).filter(|name| !name.is_empty())
}

/// The ids that a name begins with: `a2_a3_order_is_kept` has A2 and A3. Rules of the design (`c11`, `g3`) may stand
/// among them and are not rows.
fn ids_in(name: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for word in name.split('_') {
        let digits_at = word.find(|c: char| c.is_ascii_digit()).unwrap_or(word.len());
        let (letters, digits) = word.split_at(digits_at);
        let numbered = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        match letters {
            "a" | "d" | "w" | "r" | "ps" if numbered => ids.push(word.to_uppercase()),
            "t" if matches!(digits, "1" | "2") => ids.push(word.to_uppercase()),
            "p" if matches!(digits, "1" | "2" | "3" | "4" | "5" | "6") => {
                ids.push(word.to_uppercase())
            }
            "c" | "g" if numbered => {}
            _ => break,
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_from_the_beginning_of_a_name() {
        let cases: [(&str, &[&str]); 8] = [
            ("a17_encoded_order_is_value_order", &["A17"]),
            ("a2_a3_ranges", &["A2", "A3"]),
            ("d57_c11_newer_store_is_refused", &["D57"]),
            ("c11_d57_newer_store_is_refused", &["D57"]),
            ("ps1378_r4_t1_p6_all", &["PS1378", "R4", "T1", "P6"]),
            ("order_a17_is_kept", &[]),
            ("a_tree_of_a2", &[]),
            ("t9_is_no_scenario", &[]),
        ];
        for (name, expected) in cases {
            assert_eq!(ids_in(name), expected, "name={name}");
        }
    }

    #[test]
    fn tests_are_found_behind_every_form_of_the_attribute() {
        let text = "#[test]\nfn a1_plain() {}\n#[tokio::test(flavor = \"current_thread\")]\nasync fn a2_async() {}\n\
            proptest! {\n    #[test]\n    #[doc = \"x\"]\n    fn a3_property(x in 0..3) {}\n}\n\
            #[test] fn a4_one_line() {}\nfn a5_not_a_test() {}\n// #[test]\nfn a6_commented() {}\n#[cfg(test)]\nfn a7_not() {}\n";
        let source = Source { path: "x.rs".into(), text: text.into() };
        let tests = by_tests(&[source]);
        let names: Vec<&str> = tests.names.iter().map(String::as_str).collect();
        assert_eq!(names, ["a1_plain", "a2_async", "a3_property", "a4_one_line"]);
        assert_eq!(tests.by_id["A3"], BTreeSet::from(["a3_property".to_owned()]));
    }
}
