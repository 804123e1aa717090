//! Messages that come in.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::io::AsyncRead;
use weald_core::PeerId;
use weald_core::wire::{Decoder, Message, WireError};

use super::room::{Claim, NoRoom, Room};
use crate::limits::{
    BODY_BYTES_MAX, PARTIAL_BYTES_PER_SECOND_MIN, PARTIAL_TIME_MAX, READ_BYTES, READS_PER_TURN_MAX,
};

thread_local! {
    /// Where a thread reads to. What is no whole message yet moves to the reader, so that idle
    /// substreams hold no memory.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Why a substream is not read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The peer has closed it, or it broke.
    #[error("the substream has ended: {0}")]
    Ended(io::Error),
    /// The peer sends what is no message, or not one for this substream.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The peer, or all of them together, have more unfinished messages than there is room for.
    #[error("too many bytes of unfinished messages")]
    NoRoom,
    /// A message was begun and does not get on.
    #[error("the message comes too slowly")]
    TooSlow,
}

/// Reads messages. Bytes of unfinished ones are claimed from the room of the node, and have a time to be whole in.
#[derive(Debug)]
pub(crate) struct Reader {
    decoder: Decoder,
    claim: Claim,
    /// Since when a message is unfinished.
    since: Option<Instant>,
    bytes_count: u64,
}

impl Reader {
    /// A reader of what `peer` sends, which keeps what is unfinished in `room`.
    pub(crate) fn new(room: &Arc<Room>, peer: PeerId) -> Self {
        let decoder = Decoder::new(BODY_BYTES_MAX);
        Self { decoder, claim: Claim::new(Arc::clone(room), peer), since: None, bytes_count: 0 }
    }

    /// Reads what has come, for at most one turn, and hands on the messages. `Pending` when no more
    /// has come or the turn is over. To be called again at [`Reader::deadline`].
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        stream: &mut (impl AsyncRead + Unpin),
        mut hand_on: impl FnMut(Message) -> Result<(), WireError>,
    ) -> Poll<ReadError> {
        let mut scratch = SCRATCH.take();
        scratch.resize(READ_BYTES, 0);
        let mut read = Poll::Ready(Ok(()));
        for _ in 0..READS_PER_TURN_MAX {
            read = self.read_once(cx, stream, &mut scratch, &mut hand_on);
            if let Poll::Ready(Ok(())) = read {
                read = Poll::Ready(self.keep_partial(now));
            }
            if !matches!(read, Poll::Ready(Ok(()))) {
                break;
            }
        }
        SCRATCH.set(scratch);
        match read {
            Poll::Ready(Err(error)) => return Poll::Ready(error),
            Poll::Ready(Ok(())) => cx.waker().wake_by_ref(),
            Poll::Pending if self.deadline().is_some_and(|deadline| deadline <= now) => {
                return Poll::Ready(ReadError::TooSlow);
            }
            Poll::Pending => {}
        }
        if self.claim.is_evicted(cx.waker()) {
            return Poll::Ready(ReadError::NoRoom);
        }
        Poll::Pending
    }

    /// When the unfinished message is given up, if nothing more comes.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let gained = self.decoder.partial_bytes() / PARTIAL_BYTES_PER_SECOND_MIN;
        let time = PARTIAL_TIME_MAX + Duration::from_secs(gained as u64);
        self.since.map(|since| since + time)
    }

    /// Nothing is read for a while, by this node's own choice: the unfinished message has its time anew.
    pub(crate) fn pause(&mut self, now: Instant) {
        if let Some(since) = &mut self.since {
            *since = now;
        }
    }

    /// Bytes read since last asked.
    pub(crate) const fn take_bytes_count(&mut self) -> u64 {
        std::mem::replace(&mut self.bytes_count, 0)
    }

    fn read_once(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        scratch: &mut [u8],
        hand_on: &mut impl FnMut(Message) -> Result<(), WireError>,
    ) -> Poll<Result<(), ReadError>> {
        let count = match ready!(Pin::new(stream).poll_read(cx, scratch)) {
            Ok(0) => {
                return Poll::Ready(Err(ReadError::Ended(io::ErrorKind::UnexpectedEof.into())));
            }
            Ok(count) => count,
            Err(error) => return Poll::Ready(Err(ReadError::Ended(error))),
        };
        self.bytes_count += count as u64;
        let mut input = &scratch[..count];
        while let Some(message) = self.decoder.next(&mut input)? {
            self.since = None;
            self.claim.release();
            hand_on(message)?;
        }
        Poll::Ready(Ok(()))
    }

    fn keep_partial(&mut self, now: Instant) -> Result<(), ReadError> {
        let bytes = self.decoder.partial_bytes();
        if bytes > 0 {
            self.since.get_or_insert(now);
        }
        if bytes > READ_BYTES {
            self.claim.hold(bytes).map_err(|NoRoom| ReadError::NoRoom)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::task::noop_waker;
    use weald_core::Digest;

    use super::*;
    use crate::limits::PARTIAL_BYTES_PER_PEER_MAX;

    /// A stream on which nothing comes beyond these bytes.
    struct Arrived<'a>(&'a [u8]);

    impl AsyncRead for Arrived<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            if self.0.is_empty() {
                return Poll::Pending;
            }
            let count = self.0.len().min(buffer.len());
            let (come, rest) = self.0.split_at(count);
            buffer[..count].copy_from_slice(come);
            self.0 = rest;
            Poll::Ready(Ok(count))
        }
    }

    fn reader(room: &Arc<Room>) -> Reader {
        Reader::new(room, PeerId::from_digest(Digest::from_bytes([1; 32])))
    }

    /// Reads all of `input`.
    fn poll(
        reader: &mut Reader,
        now: Instant,
        input: &[u8],
    ) -> (Vec<Message>, Result<(), ReadError>) {
        let waker = noop_waker();
        let (mut messages, mut stream) = (Vec::new(), Arrived(input));
        loop {
            let end = reader.poll(&mut Context::from_waker(&waker), now, &mut stream, |message| {
                messages.push(message);
                Ok(())
            });
            match end {
                Poll::Ready(error) => return (messages, Err(error)),
                Poll::Pending if stream.0.is_empty() => return (messages, Ok(())),
                Poll::Pending => {}
            }
        }
    }

    fn encoded(bytes: usize) -> Vec<u8> {
        let mut encoded = Vec::new();
        Message::Frame(Bytes::from(vec![0; bytes])).encode(&mut encoded);
        encoded
    }

    #[test]
    fn messages_are_handed_on_and_the_end_is_told() {
        let frame = Message::Frame(Bytes::from_static(b"frame"));
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        frame.encode(&mut bytes);
        let mut reader = reader(&Arc::default());
        let (messages, end) = poll(&mut reader, Instant::now(), &bytes);
        assert_eq!(messages, [frame.clone(), frame]);
        assert!(end.is_ok());
        assert_eq!((reader.take_bytes_count(), reader.deadline()), (bytes.len() as u64, None));
        let mut ended = futures::io::empty();
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let end = reader.poll(&mut cx, Instant::now(), &mut ended, |_| Ok(()));
        assert!(matches!(end, Poll::Ready(ReadError::Ended(_))));
    }

    #[test]
    fn unfinished_messages_of_all_readers_of_a_peer_are_counted_and_bounded() {
        let (room, now, largest) = (Arc::default(), Instant::now(), encoded(BODY_BYTES_MAX));
        let unfinished = &largest[..largest.len() - 1];
        let lane_count = PARTIAL_BYTES_PER_PEER_MAX / unfinished.len();
        let mut lanes: Vec<_> = (0..lane_count).map(|_| reader(&room)).collect();
        for lane in &mut lanes {
            assert!(poll(lane, now, unfinished).1.is_ok());
        }
        let refused = poll(&mut reader(&room), now, unfinished).1;
        assert!(matches!(refused, Err(ReadError::NoRoom)));
        assert_eq!(poll(&mut lanes[0], now, &[0]).0.len(), 1, "whole messages hold nothing");
        assert!(poll(&mut reader(&room), now, unfinished).1.is_ok());
    }

    #[test]
    fn a_message_that_gets_on_has_time_and_one_that_does_not_is_given_up() {
        let (mut now, bytes) = (Instant::now(), encoded(BODY_BYTES_MAX));
        let mut slow = reader(&Arc::default());
        let second = Duration::from_secs(1);
        let mut parts = bytes.chunks(PARTIAL_BYTES_PER_SECOND_MIN);
        let last = parts.next_back().unwrap();
        for part in parts {
            assert!(poll(&mut slow, now, part).1.is_ok());
            now += second;
        }
        assert_eq!(poll(&mut slow, now, last).0.len(), 1, "it came as slowly as it may");
        let mut held_back = reader(&Arc::default());
        assert!(poll(&mut held_back, now, &bytes[..1]).1.is_ok());
        assert_eq!(held_back.deadline(), Some(now + PARTIAL_TIME_MAX));
        assert!(poll(&mut held_back, now + PARTIAL_TIME_MAX / 2, &bytes[1..2]).1.is_ok());
        held_back.pause(now + second);
        assert!(poll(&mut held_back, now + PARTIAL_TIME_MAX, &bytes[2..3]).1.is_ok());
        let given_up = poll(&mut held_back, now + PARTIAL_TIME_MAX + second, &bytes[3..4]).1;
        assert!(matches!(given_up, Err(ReadError::TooSlow)));
    }
}
