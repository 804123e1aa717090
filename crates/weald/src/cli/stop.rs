//! The signals by which a user stops a command.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::{Class, Failure};

/// SIGTERM and Ctrl-C, heard from the moment this is made.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Hears them from now on.
    pub(crate) fn new() -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::new(Class::Internal, format_args!("signals cannot be heard: {error}"))
        };
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(Self { terminate, interrupt })
    }

    /// Ready at the first of them.
    pub(crate) async fn asked(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
