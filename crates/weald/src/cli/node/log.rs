//! What a node writes to standard error: what `WEALD_LOG` asks for.

use std::{env, io};

use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::cli::failure::Failure;

/// The variable that chooses targets and levels, such as `info,weald::http=debug`.
const VARIABLE: &str = "WEALD_LOG";
/// What is written without it. The hash table of a node without peers warns of that at its start and
/// each minute; it is no news.
const DEFAULT: &str = "warn,libp2p_kad::behaviour=error";

/// Begins to write.
pub(super) fn begin() -> Result<(), Failure> {
    let text = env::var(VARIABLE).unwrap_or_else(|_| DEFAULT.to_owned());
    let targets: Targets = text.parse().map_err(|error| {
        Failure::usage(format_args!("{VARIABLE} names no targets with levels: {error}"))
    })?;
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(false).with_filter(targets);
    let begun = tracing_subscriber::registry().with(lines).try_init();
    begun.map_err(|error| Failure::internal(format_args!("no log can be written: {error}")))
}
