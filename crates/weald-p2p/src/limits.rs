//! Every bound of the network, by name. What is over a bound is refused with a typed error and
//! counted; nothing is truncated and nothing grows without an end.

use std::time::Duration;

use weald_core::limits::DECODE_BYTES_MAX;

/// Bytes of a frame's, a request's or an answer's body: an envelope of the codec with room around it.
pub const BODY_BYTES_MAX: usize = DECODE_BYTES_MAX + 64 * 1024;
/// Bytes of all unfinished messages that come in, over all peers; besides these a substream holds less than is read at
/// once. Beyond it the message that was begun first is given up.
pub const PARTIAL_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Of these, of one peer: the largest message of each of the three lanes in which it sends, and an answer, each with
/// what is around its body.
pub const PARTIAL_BYTES_PER_PEER_MAX: usize = 4 * (BODY_BYTES_MAX + 1024);
/// How long a message may take from its first byte to its last, besides the time for what has come of it.
pub const PARTIAL_TIME_MAX: Duration = Duration::from_secs(30);
/// The bytes in a second that an unfinished message gains at least, on the average; it is given up otherwise.
pub const PARTIAL_BYTES_PER_SECOND_MIN: usize = 32 * 1024;
/// Messages that wait for one peer in one priority.
pub const LANE_MESSAGES_MAX: usize = 8192;
/// Bytes that wait for one peer in one priority: two messages of the largest size, at least.
pub const LANE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Calls to one peer that have no answer yet.
pub const CALLS_MAX: usize = 4096;
/// Requests of one peer that a node works on at once; more are answered with Busy.
pub const REQUESTS_MAX: usize = 1024;
/// Answers that wait for one peer, in bytes. Nothing is read from a peer that leaves half of them
/// waiting; answers beyond all of them are dropped, and their callers told.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest deadline of a call.
pub const DEADLINE_MAX: Duration = Duration::from_secs(600);

/// Bytes that are taken from a lane and written at once.
pub(crate) const BATCH_BYTES: usize = 64 * 1024;
/// Bytes of the buffer into which a thread reads.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// Reads from one substream before others have their turn.
pub(crate) const READS_PER_TURN_MAX: usize = 8;
/// Batches written to one substream before others have their turn.
pub(crate) const WRITES_PER_TURN_MAX: usize = 8;
/// How long opening a substream may take.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before a failed substream is opened again.
pub(crate) const REOPEN_DELAY: Duration = Duration::from_millis(100);
/// A substream that was open for so long has worked: what failed before it is forgotten.
pub(crate) const LANE_PROVEN_AFTER: Duration = Duration::from_secs(5);
/// Failures in a row after which a connection is given up.
pub(crate) const LANE_FAILURES_MAX: u32 = 5;
/// How long a transport may take to set up a connection.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that nobody uses is closed after this time.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Peers of the address book that a node tries to stay connected to, besides its seeds.
pub const KEPT_PEERS_MAX: usize = 64;
/// Peers in an address book; those seen last are kept.
pub const BOOK_PEERS_MAX: usize = 1024;
/// Addresses that are kept of a peer.
pub const PEER_ADDRESSES_MAX: usize = 8;
/// Bytes of an address book's file that are read.
pub const BOOK_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A peer that was not connected for so long leaves the address book.
pub const BOOK_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Seeds and addresses given to [`Network::dial`](crate::Network::dial).
pub const SEEDS_MAX: usize = 256;
/// Failures in a row after which an address given to [`Network::dial`](crate::Network::dial), at which no peer of the
/// network was ever met, is let go: somewhat more than a minute.
pub const LEAD_FAILURES_MAX: u32 = 24;
/// The same for one at which a peer was met: about an hour.
pub const KNOWN_FAILURES_MAX: u32 = 1000;
/// Dials that each of them has before it makes room for another.
pub(crate) const DIALS_MIN: u32 = 4;
/// Lookups at once.
pub const LOOKUPS_MAX: usize = 64;
/// Requests that one lookup sends before it has to do with what it has found.
pub const LOOKUP_REQUESTS_MAX: u32 = 64;
/// Commands that wait for the network's task.
pub(crate) const COMMANDS_MAX: usize = 1024;
/// How long a peer that speaks for another network is not dialled again.
pub(crate) const STRANGER_PAUSE: Duration = Duration::from_secs(60);
/// How often the network's task looks for peers to dial and calls the book to be written.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// Pause between writes of the address book.
pub(crate) const BOOK_WRITE_INTERVAL: Duration = Duration::from_secs(5);
/// Pause between measured round trips.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How long a peer may take to answer a ping. After that the connection is closed.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Relays that are known or named, of which one may be asked for a place.
pub const RELAYS_MAX: usize = 16;
/// How long no relay is asked for a place after one was lost or not given.
pub(crate) const PLACE_PAUSE: Duration = Duration::from_secs(2);
/// How long a relay that is named and gave no place is not asked again.
pub(crate) const NAMED_RELAY_PAUSE: Duration = Duration::from_secs(10);
/// Peers that have a place at this node when it is a relay.
pub(crate) const PLACES_MAX: usize = 256;
/// Connections that this node carries for others at once.
pub(crate) const CIRCUITS_MAX: usize = 1024;
/// Of these, for one peer.
pub(crate) const CIRCUITS_PER_PEER_MAX: usize = 64;
/// Bytes that go over one of these. Its ends connect anew after that, so that none holds a relay forever.
pub(crate) const CIRCUIT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// How long one of these may last.
pub(crate) const CIRCUIT_TIME_MAX: Duration = Duration::from_secs(60 * 60);
/// The shortest pause before peers are asked whether they can dial this node.
pub(crate) const PROBE_PAUSE_MIN: Duration = Duration::from_millis(10);
/// Connections of one source that may fail before it is known whose they are, at once.
pub const FAILURES_MAX: u32 = 64;
/// The time in which one of them is forgiven, and the pause between its connections until then.
pub const FAILURE_PAUSE: Duration = Duration::from_millis(20);
/// How long one of them waits for its turn; more of its source are refused.
pub const HOLD_MAX: Duration = Duration::from_secs(1);
/// Connections that are refused before other events have their turn.
pub(crate) const REFUSALS_PER_TURN_MAX: usize = 64;
/// How many times as many connections as of another source there may be of one that stands for many hosts.
pub const SHARED_SOURCE_FACTOR: usize = 4;
/// Sources whose failures are remembered.
pub(crate) const SOURCES_MAX: usize = 4096;
/// Substreams of one connection, of all protocols.
pub(crate) const STREAMS_MAX: usize = 256;
/// Addresses of one host name that are dialled.
pub(crate) const RESOLVED_ADDRESSES_MAX: usize = 8;
/// Peers that wait to be asked for again.
pub(crate) const WANTED_MAX: usize = 256;
/// Peers whose addresses came before they were known to be of this network.
pub(crate) const IDENTIFIED_MAX: usize = 256;
/// How long the start waits for the system to tell the addresses that are listened on.
pub(crate) const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection of another network is left, so that both sides notice.
pub(crate) const FOREIGN_GRACE: Duration = Duration::from_secs(1);
/// Peers of other networks that are remembered.
pub(crate) const STRANGERS_MAX: usize = 256;
