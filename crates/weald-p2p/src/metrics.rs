//! What a network node has done, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the counters and the values that are read from them.
macro_rules! metrics {
    ($(#[doc = $doc:literal] $name:ident,)*) => {
        /// Counters since the network started. Each only grows.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Metrics {
            $(#[doc = $doc] pub $name: u64,)*
        }

        impl Metrics {
            /// Each counter with its name, in one order.
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// Each counter with its name and what it counts, in one order.
            pub fn described(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $doc, self.$name),)*]
            }
        }

        /// The counters themselves.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> Metrics {
                Metrics { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

metrics! {
    /// Frames that were queued for peers.
    frames_sent_count,
    /// Frames that were not queued: no way, no room, too large.
    frames_refused_count,
    /// Frames that came and were taken.
    frames_received_count,
    /// Frames that came when there was no room for them.
    frames_dropped_count,
    /// Calls that were begun.
    calls_count,
    /// Calls that were refused here before they were sent.
    calls_refused_count,
    /// Calls that ended by their deadlines.
    calls_timed_out_count,
    /// Requests that services were given.
    requests_count,
    /// Requests beyond the budget of their peer.
    requests_busy_count,
    /// Requests for services that there are not.
    requests_unknown_count,
    /// Requests that their services denied to the peer.
    requests_denied_count,
    /// Requests that their services could not read.
    requests_malformed_count,
    /// Answers that were dropped because their peers do not read.
    answers_dropped_count,
    /// Substreams that were given up because a peer broke the protocol.
    protocol_errors_count,
    /// Substreams that were given up because unfinished messages took too much memory, or too long.
    overloads_count,
    /// Bytes of messages that were read.
    bytes_received_count,
    /// Bytes of messages that were written.
    bytes_sent_count,
    /// Peers that were turned away.
    strangers_count,
    /// Connections that came about.
    connections_count,
    /// Connections that were refused because too many of their source had failed.
    connections_refused_count,
    /// Dials that were begun.
    dials_count,
    /// Dials that failed.
    dials_failed_count,
    /// Lookups that were begun.
    lookups_count,
    /// Lookups that fell back to connected peers.
    lookups_fallen_back_count,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_name() {
        let counters = Counters::default();
        add(&counters.dials_count, 3);
        let metrics = counters.read();
        assert_eq!(metrics.dials_count, 3);
        assert!(metrics.named().contains(&("dials_count", 3)));
        assert!(metrics.named().contains(&("calls_count", 0)));
        let dials = ("dials_count", " Dials that were begun.", 3);
        assert!(metrics.described().contains(&dials));
    }
}
