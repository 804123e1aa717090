//! Where options come from.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    Setting, Source,
    nearest::nearest,
    table::{OPTIONS, Row, Shape},
};
use crate::cli::failure::Failure;

/// Variables of the program that are no options of a node.
const OTHER_VARIABLES: [&str; 4] = ["WEALD_CONFIG", "WEALD_LOG", "WEALD_NODE", "WEALD_TOKEN"];

/// All that was said about options.
pub(super) struct Sources {
    flags: BTreeMap<&'static str, Vec<String>>,
    variables: BTreeMap<String, String>,
    file: Option<(PathBuf, BTreeMap<String, Vec<String>>)>,
}

impl Sources {
    /// Reads the environment and the file at `path`.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let variables = env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("WEALD_"))?;
            Some((name, value.into_string()))
        });
        let mut said = BTreeMap::new();
        for (name, value) in variables {
            let value = value
                .map_err(|_| Failure::usage(format_args!("the variable {name} is no text")))?;
            said.insert(name, value);
        }
        let file = path.map(|path| Ok::<_, Failure>((path.to_owned(), read_file(path)?)));
        Self::new(said, file.transpose()?)
    }

    /// What these variables and this file say; a name that is no option's is an error.
    pub(super) fn new(
        variables: BTreeMap<String, String>,
        file: Option<(PathBuf, BTreeMap<String, Vec<String>>)>,
    ) -> Result<Self, Failure> {
        let known: Vec<String> = OPTIONS.iter().map(Row::variable).collect();
        for name in variables.keys() {
            if !known.contains(name) && !OTHER_VARIABLES.contains(&name.as_str()) {
                let place = "in the environment";
                return Err(unknown(name, place, known.iter().map(String::as_str)));
            }
        }
        Ok(Self { flags: BTreeMap::new(), variables, file })
    }

    /// The command line says this.
    pub(super) fn give(&mut self, name: &'static str, values: Vec<String>) {
        self.flags.insert(name, values);
    }

    /// What holds for an option.
    pub(super) fn setting(&self, row: &'static Row) -> Setting {
        let (values, source) = self.said(row).unwrap_or_else(|| {
            let default = row.default.iter().map(|value| (*value).to_owned());
            (default.collect(), Source::Default)
        });
        Setting { name: row.name, values, is_list: row.shape == Shape::List, source }
    }

    fn said(&self, row: &Row) -> Option<(Vec<String>, Source)> {
        if let Some(values) = self.flags.get(row.name) {
            return Some((values.clone(), Source::Flag));
        }
        let variable = row.variable();
        if let Some(text) = self.variables.get(&variable) {
            let values = match row.shape {
                Shape::List if text.is_empty() => Vec::new(),
                Shape::List => text.split(',').map(str::to_owned).collect(),
                Shape::One | Shape::Switch => vec![text.clone()],
            };
            return Some((values, Source::Environment(variable)));
        }
        let (path, said) = self.file.as_ref()?;
        let values = said.get(&row.key())?;
        Some((values.clone(), Source::File(path.clone())))
    }
}

/// The keys of a file with their values as text.
fn read_file(path: &Path) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::usage(format_args!("{shown} cannot be read: {error}")))?;
    parse_file(&text, &shown.to_string())
}

/// As [`read_file`], from the file's text.
pub(super) fn parse_file(text: &str, place: &str) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let table: Table = text
        .parse()
        .map_err(|error| Failure::usage(format_args!("{place} is no TOML: {error}")))?;
    let known: Vec<String> = OPTIONS.iter().map(Row::key).collect();
    let mut said = BTreeMap::new();
    for (key, value) in table {
        if !known.contains(&key) {
            let place = format!("in {place}");
            return Err(unknown(&key, &place, known.iter().map(String::as_str)));
        }
        let values = texts(&value).ok_or_else(|| {
            Failure::usage(format_args!("{place}: {key} is neither text, number, truth nor a list"))
        })?;
        said.insert(key, values);
    }
    Ok(said)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        single => Some(vec![text(single)?]),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(is_true) => Some(is_true.to_string()),
        _ => None,
    }
}

fn unknown<'k>(name: &str, place: &str, known: impl IntoIterator<Item = &'k str>) -> Failure {
    match nearest(name, known) {
        Some(meant) => {
            Failure::usage(format_args!("no option {name} {place}; did you mean {meant}?"))
        }
        None => Failure::usage(format_args!("no option {name} {place}; see `weald node --help`")),
    }
}
