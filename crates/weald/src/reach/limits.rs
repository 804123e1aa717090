//! The bounds of a node's reach, by name.

use std::time::Duration;

/// Bytes of blocks, and of ids, in one answer; one block goes however large it is.
pub(crate) const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Blocks asked for in one question.
pub(crate) const BLOCKS_MAX: usize = 4096;
/// Blocks that a read is guessed to need.
pub(crate) const GUESSED_MAX: usize = 32;
/// Collections named in one answer.
pub(crate) const COLLECTIONS_MAX: usize = 32 * 1024;
/// Bytes of the blocks of others that a node keeps for reading.
pub(crate) const CACHE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Numbers of the session that are not settled.
pub(crate) const NUMBERS_MAX: usize = 65_536;
/// Collections of others that are followed at a time.
pub(crate) const FOLLOWED_MAX: usize = 4096;
/// Long questions of followers that wait here at a time.
pub(crate) const FOLLOWERS_MAX: usize = 65_536;
/// How long a follower's question waits for a change.
pub(crate) const FOLLOW_WAIT: Duration = Duration::from_secs(5);
/// What a follower gives its question on top, for the way.
pub(crate) const FOLLOW_SLACK: Duration = Duration::from_secs(3);
/// Streams of topics that a node serves to others at a time.
pub(crate) const STREAMS_MAX: usize = 16_384;
/// Streams of topics that a node serves to one peer at a time.
pub(crate) const PEER_STREAMS_MAX: usize = 4096;
/// Questions of one stream that wait here at a time.
pub(crate) const STREAM_ASKS_MAX: usize = 4;
/// Parts of bodies that are read for other nodes at a time.
pub(crate) const BODY_READS_MAX: usize = 64;
/// How long a stream is kept that its subscriber does not ask for.
pub(crate) const STREAM_IDLE_MAX: Duration = Duration::from_secs(15);
/// Submissions whose signatures are checked together.
pub(crate) const BATCH_MAX: usize = 64;
/// Bytes of what is checked together; one submission goes however large it is.
pub(crate) const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Tasks that check signatures at a time.
pub(crate) const CHECKERS_MAX: usize = 2;
/// Bytes of a submission that is checked where it arrives: a message or two.
pub(crate) const LONE_BYTES_MAX: usize = 1024;
/// How long nothing may have come or been checked before it.
pub(crate) const LONE_AFTER: Duration = Duration::from_millis(1);
/// Submissions that wait for their signatures to be checked.
pub(crate) const CHECKS_MAX: usize = 16_384;
/// Bytes of these.
pub(crate) const CHECKS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Entries of other coordinators that wait to be looked at.
pub(crate) const AUDITS_MAX: usize = 4096;
/// Bytes of these, the last one aside.
pub(crate) const AUDITS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Questions for the next parts of a stream that a subscriber has under way.
pub(crate) const NEXT_ASKS: usize = 2;
/// How long one attempt to read from another node may take.
pub(crate) const ATTEMPT_MAX: Duration = Duration::from_secs(2);
/// The pause before a question that nobody took is asked anew.
pub(crate) const ASTRAY_PAUSE: Duration = Duration::from_millis(50);
/// How long a request stays valid after it was handed in, log time.
pub(crate) const REQUEST_VALID: Duration = Duration::from_secs(30);
/// How long a map may be old before a node without members asks for another.
pub(crate) const MAP_AGE_MAX: Duration = Duration::from_secs(10);
