//! Why a command failed: one line for people, a class for scripts.

use std::{fmt, io, process::ExitCode};

/// What kind of failure it was. The number is the exit code that scripts see; the table stands in
/// `weald --help` and in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// What was asked for is not there, or an expectation does not hold.
    NotFound,
    /// The command line or its input is wrong.
    Usage,
    /// The write was refused; nothing of it happened.
    Rejected,
    /// The write may or may not have happened.
    Unknown,
    /// The data directory is damaged, full, locked or of a newer format.
    Storage,
    /// A defect of the program.
    Internal,
}

impl Class {
    /// The exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::NotFound => 1,
            Self::Usage => 2,
            Self::Rejected => 3,
            Self::Unknown => 4,
            Self::Storage => 5,
            Self::Internal => 70,
        }
    }

    /// The word that `--json` prints.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Usage => "usage",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
            Self::Storage => "storage",
            Self::Internal => "internal",
        }
    }
}

/// How a command ends when it does not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// One line says what is wrong and what to do.
    Told {
        /// Its class.
        class: Class,
        /// The line.
        message: String,
    },
    /// Whoever read standard output went away; there is nobody left to tell.
    ReaderGone,
    /// What was looked at is not well, as was told on standard output; the exit code.
    Unwell(u8),
}

impl Failure {
    /// A failure of `class`. Line breaks become spaces: it stays one line.
    pub(crate) fn new(class: Class, message: impl fmt::Display) -> Self {
        let message = message.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Self::Told { class, message }
    }

    /// The command line or its input is wrong.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Class::Usage, message)
    }

    /// What was asked for is not there.
    pub(crate) fn not_found(message: impl fmt::Display) -> Self {
        Self::new(Class::NotFound, message)
    }

    /// A defect of the program.
    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        Self::new(Class::Internal, message)
    }

    /// Writing the answer failed.
    pub(crate) fn from_output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::new(Class::Storage, format_args!("the output cannot be written: {error}"))
    }

    /// Tells it on standard error, as JSON if `json`, and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        let (class, message) = match self {
            Self::Told { class, message } => (class, message),
            Self::ReaderGone => return ExitCode::SUCCESS,
            Self::Unwell(code) => return ExitCode::from(*code),
        };
        let line = if json {
            let error = serde_json::json!({
                "error": { "class": class.word(), "exit_code": class.code(), "message": message }
            });
            error.to_string()
        } else {
            format!("weald: {message}")
        };
        // A closed standard error leaves the exit code to tell.
        let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("{line}\n"));
        ExitCode::from(class.code())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::from_output(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_own_exit_code() {
        let classes = [
            Class::NotFound,
            Class::Usage,
            Class::Rejected,
            Class::Unknown,
            Class::Storage,
            Class::Internal,
        ];
        let codes: std::collections::BTreeSet<u8> = classes.map(Class::code).into();
        assert_eq!(codes.len(), classes.len());
        assert!(!codes.contains(&0));
    }

    #[test]
    fn a_message_is_one_line() {
        let Failure::Told { message, .. } = Failure::usage("a\n  b\r\nc") else { panic!("told") };
        assert_eq!(message, "a b c");
    }
}
