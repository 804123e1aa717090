//! Options of a node: one table drives the command line, the environment, the configuration file and
//! `weald config`.
//!
//! An option `cache-bytes` is the flag `--cache-bytes`, the variable `WEALD_CACHE_BYTES` and the key
//! `cache_bytes` of the TOML file; the first of these that says something holds.

mod nearest;
mod sources;
mod table;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use weald::{GatewayConfig, NodeConfig};

use super::failure::Failure;
use sources::Sources;
use table::{OPTIONS, Row, Shape};

/// The options that stand on a command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeOptions {
    file: Option<PathBuf>,
    given: Vec<(&'static str, Vec<String>)>,
}

/// What holds for a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// The node.
    pub(crate) node: NodeConfig,
    /// Its gateway; `None` when it has none.
    pub(crate) http: Option<GatewayConfig>,
}

/// One option with what it says and who says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The option.
    pub(crate) name: &'static str,
    /// Its values: one, or those of a list.
    pub(crate) values: Vec<String>,
    /// Whether it is a list.
    pub(crate) is_list: bool,
    /// Who says it.
    pub(crate) source: Source,
}

/// Who says what an option is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The command line.
    Flag,
    /// This variable of the environment.
    Environment(String),
    /// This file.
    File(PathBuf),
    /// Nobody; it follows this option.
    Option(&'static str),
    /// Nobody.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("command line"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Option(name) => write!(f, "follows {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl NodeOptions {
    /// Every option with what holds. `data_dir` is the flag that all verbs have.
    pub(crate) fn resolve(&self, data_dir: Option<&Path>) -> Result<Vec<Setting>, Failure> {
        let mut sources = Sources::read(self.file.as_deref())?;
        for (name, values) in &self.given {
            sources.give(name, values.clone());
        }
        if let Some(directory) = data_dir {
            sources.give("data-dir", vec![directory.display().to_string()]);
        }
        Ok(settled(OPTIONS.iter().map(|row| sources.setting(row)).collect()))
    }
}

/// What follows another option is told as it comes out.
fn settled(mut settings: Vec<Setting>) -> Vec<Setting> {
    let mut all = Settings::default();
    let followed: Vec<_> = OPTIONS.iter().filter_map(|row| Some(row.follows?.0)).collect();
    for (row, setting) in OPTIONS.iter().zip(&mut settings) {
        let is_part = row.follows.is_some() || followed.contains(&row.name);
        if !is_part || setting.put(row, &mut all).is_err() {
            // What is wrong is told by `Settings::of`.
            continue;
        }
        if let Some((option, shown)) = row.follows
            && setting.source == Source::Default
        {
            (setting.values, setting.source) = (vec![shown(&all)], Source::Option(option));
        }
    }
    settings
}

impl Setting {
    /// Puts it where `row` has it. What follows another option stays as that one has put it, unless
    /// somebody says otherwise.
    fn put(&self, row: &Row, all: &mut Settings) -> Result<(), String> {
        match (row.follows, &self.source) {
            (Some(_), Source::Default) => Ok(()),
            _ => (row.set)(all, &self.values),
        }
    }
}

impl Settings {
    /// What the settings say, in the form that a node is started with.
    pub(crate) fn of(settings: &[Setting]) -> Result<Self, Failure> {
        let mut all = Self { http: Some(GatewayConfig::default()), ..Self::default() };
        for (row, setting) in OPTIONS.iter().zip(settings) {
            setting.put(row, &mut all).map_err(|what| {
                let (name, source) = (row.name, &setting.source);
                Failure::usage(format_args!("{name} ({source}): {what}"))
            })?;
        }
        all.node.check()?;
        Ok(all)
    }
}

impl Args for NodeOptions {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .env("WEALD_CONFIG")
            .hide_env(true)
            .help("Read options from this TOML file [env: WEALD_CONFIG]");
        let options = OPTIONS.iter().filter(|row| !row.is_global).map(argument);
        command.arg(file).args(options)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for NodeOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = Self::default();
        options.update_from_arg_matches(matches)?;
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<String>("config").map(PathBuf::from);
        for row in OPTIONS.iter().filter(|row| !row.is_global) {
            if let Some(values) = matches.get_many::<String>(row.name) {
                self.given.push((row.name, values.cloned().collect()));
            }
        }
        Ok(())
    }
}

fn argument(row: &'static Row) -> Arg {
    let default = match (row.default, row.follows) {
        ([], None) => String::new(),
        ([], Some((option, _))) => format!(" [default: follows {option}]"),
        (values, _) => format!(" [default: {}]", values.join(",")),
    };
    let help = format!("{}{default} [env: {}]", row.help, row.variable());
    let argument = Arg::new(row.name).long(row.name).value_name(row.value).help(help);
    match row.shape {
        Shape::One => argument,
        Shape::List => argument.value_delimiter(',').action(clap::ArgAction::Append),
        Shape::Switch => {
            argument.num_args(0..=1).require_equals(true).default_missing_value("true")
        }
    }
}

#[cfg(test)]
mod tests;
