//! What goes to peers and comes from them. Messages of one turn to one peer share a frame; of
//! heartbeats there is one frame for each peer and beat, whatever the number of partitions, and one
//! for the answers to it.
//!
//! A frame begins with one byte that says what it holds. [`MESSAGES`]: messages, each after its
//! length in four bytes. [`BEATS`] and [`ANSWERS`]: eight bytes that name the run of frames, and a
//! [`pulse::Frame`]. [`BEATS_AGAIN`] and [`ANSWERS_AGAIN`]: nothing; the peer is to begin such a run
//! anew, with everything in full.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use weald_cluster::{
    pulse::{self, FrameError},
    replica::{Envelope, Message, RefusedReason, Standing},
};
use weald_core::{PeerId, Priority, Time, Transport};

use super::{
    figures::{Counters, add, count},
    limits::FRAME_BYTES,
    refusals::Refused,
};

const MESSAGES: u8 = 0;
const BEATS: u8 = 1;
const ANSWERS: u8 = 2;
const BEATS_AGAIN: u8 = 3;
const ANSWERS_AGAIN: u8 = 4;

/// What is sent in the current step, and therefore where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing special.
    Talking,
    /// A beat is due: heartbeats are gathered.
    Beating,
    /// A peer's beat is answered: acknowledgements to it are gathered.
    Answering(PeerId),
    /// A member that lags is fed from the disk.
    Feeding,
}

/// Sends and receives for all partitions.
pub(super) struct Post {
    network: Arc<dyn Transport>,
    counters: Arc<Counters>,
    /// Messages that leave at the end of the turn.
    outgoing: BTreeMap<(PeerId, Bulk), BytesMut>,
    /// Messages gathered in the current step, by peer.
    gathered: BTreeMap<PeerId, Vec<Envelope>>,
    step: Step,
    peers: BTreeMap<PeerId, Peer>,
    next_run: u64,
}

type Bulk = bool;

/// What is remembered of a peer while it is connected.
#[derive(Default)]
struct Peer {
    beats: Line,
    answers: Line,
}

/// Frames of one kind from and to one peer.
#[derive(Default)]
struct Line {
    outbox: pulse::Outbox,
    out_run: u64,
    inbox: pulse::Inbox,
    in_run: u64,
}

/// What a frame held.
#[derive(Debug)]
pub(super) enum Opened {
    /// Messages.
    Messages(Vec<Envelope>),
    /// A beat of the peer, to be answered.
    Beat(Standing, Vec<Envelope>),
    /// The peer's answers to a beat of ours.
    Answers(Standing, Vec<Envelope>),
    /// Nothing for a replica.
    Nothing,
}

impl Post {
    pub(super) fn new(network: Arc<dyn Transport>, counters: Arc<Counters>, seed: u64) -> Self {
        Self {
            network,
            counters,
            outgoing: BTreeMap::new(),
            gathered: BTreeMap::new(),
            step: Step::Talking,
            peers: BTreeMap::new(),
            next_run: seed,
        }
    }

    /// Sets the peers that members of partitions here have; all others are forgotten.
    pub(super) fn set_peers(&mut self, peers: impl Iterator<Item = PeerId>) {
        let mut before = std::mem::take(&mut self.peers);
        self.peers = peers.map(|peer| (peer, before.remove(&peer).unwrap_or_default())).collect();
    }

    /// The connection to a peer is another one: what was remembered of it is void.
    pub(super) fn begin_anew(&mut self, peer: PeerId) {
        if let Some(known) = self.peers.get_mut(&peer) {
            *known = Peer::default();
        }
    }

    /// What is sent from now on.
    pub(super) fn set_step(&mut self, step: Step) {
        self.step = step;
    }

    /// Sends a message: with the turn's others, or with the beat's.
    pub(super) fn send(&mut self, envelope: Envelope) {
        let peer = envelope.to.peer;
        let is_gathered = match (&envelope.message, self.step) {
            (Message::Heartbeat(_), Step::Beating) => true,
            (Message::ReplicateAck(_), Step::Answering(asker)) => asker == peer,
            _ => false,
        };
        if is_gathered && self.peers.contains_key(&peer) {
            let gathered = self.gathered.entry(peer).or_default();
            if gathered.iter().all(|other| other.partition != envelope.partition) {
                return gathered.push(envelope);
            }
        }
        self.queue(peer, &envelope);
    }

    fn queue(&mut self, peer: PeerId, envelope: &Envelope) {
        let bytes = envelope.encode();
        let key = (peer, self.step == Step::Feeding);
        let frame = self.outgoing.entry(key).or_default();
        if !frame.is_empty() && frame.len() + bytes.len() > FRAME_BYTES {
            let full = std::mem::take(frame).freeze();
            self.dispatch(peer, priority(key.1), full);
        }
        let frame = self.outgoing.entry(key).or_default();
        if frame.is_empty() {
            frame.put_u8(MESSAGES);
        }
        frame.put_u32_le(u32::try_from(bytes.len()).expect("a message is smaller than 4 GiB"));
        frame.put_slice(&bytes);
    }

    /// Hands what has gathered to the network.
    pub(super) fn flush(&mut self) {
        for ((peer, is_bulk), frame) in std::mem::take(&mut self.outgoing) {
            if !frame.is_empty() {
                self.dispatch(peer, priority(is_bulk), frame.freeze());
            }
        }
    }

    fn dispatch(&self, peer: PeerId, priority: Priority, frame: Bytes) {
        add(&self.counters.bytes_sent, frame.len());
        match self.network.send(peer, priority, frame) {
            Ok(()) => count(&self.counters.frames_sent),
            // Protocols repeat what matters.
            Err(_) => count(&self.counters.frames_unsent),
        }
    }

    /// Ends a beat: every peer hears of this node, and of the partitions that have something to say.
    pub(super) fn send_beats(&mut self, standing: Standing) {
        let mut gathered = std::mem::take(&mut self.gathered);
        let peers: Vec<_> = self.peers.keys().copied().collect();
        for peer in peers {
            let messages = gathered.remove(&peer).unwrap_or_default();
            self.send_pulse(peer, BEATS, (standing, messages));
        }
    }

    /// Ends the answer to a peer's beat.
    pub(super) fn send_answers(&mut self, peer: PeerId, standing: Standing) {
        let messages = self.gathered.remove(&peer).unwrap_or_default();
        if !messages.is_empty() {
            self.send_pulse(peer, ANSWERS, (standing, messages));
        }
    }

    fn send_pulse(&mut self, peer: PeerId, tag: u8, said: (Standing, Vec<Envelope>)) {
        let (standing, messages) = said;
        let next_run = self.next_run;
        let Some(line) = self.line(peer, tag) else { return };
        let is_new = line.out_run == 0;
        if is_new {
            line.out_run = next_run.max(1);
        }
        let frame = line.outbox.frame((standing.started, standing.is_healthy), messages).encode();
        let mut bytes = BytesMut::with_capacity(frame.len() + 9);
        bytes.put_u8(tag);
        bytes.put_u64_le(line.out_run);
        bytes.put_slice(&frame);
        if is_new {
            self.next_run = next_run.wrapping_add(1);
        }
        self.dispatch(peer, Priority::Consensus, bytes.freeze());
    }

    fn line(&mut self, peer: PeerId, tag: u8) -> Option<&mut Line> {
        let peer = self.peers.get_mut(&peer)?;
        Some(if tag == BEATS { &mut peer.beats } else { &mut peer.answers })
    }

    /// Opens a peer's frame. What is malformed, or said in another's name, is counted and dropped.
    pub(super) fn open(&mut self, from: PeerId, mut frame: Bytes) -> Opened {
        count(&self.counters.frames_received);
        if frame.is_empty() {
            return self.refuse(Refused::Malformed);
        }
        match frame.get_u8() {
            MESSAGES => self.open_messages(from, frame),
            tag @ (BEATS | ANSWERS) => self.open_pulse(from, tag, frame),
            BEATS_AGAIN => self.begin_line_anew(from, BEATS),
            ANSWERS_AGAIN => self.begin_line_anew(from, ANSWERS),
            _ => self.refuse(Refused::Malformed),
        }
    }

    fn open_messages(&self, from: PeerId, mut frame: Bytes) -> Opened {
        let mut messages = Vec::new();
        while frame.len() >= 4 {
            let len = usize::try_from(frame.get_u32_le()).unwrap_or(usize::MAX);
            if len > frame.len() {
                break;
            }
            match Envelope::decode(&frame.split_to(len)) {
                Ok(envelope) if envelope.from.peer == from => messages.push(envelope),
                Ok(_) => self.counters.refused.count(Refused::Forged),
                Err(_) => self.counters.refused.count(Refused::Malformed),
            }
        }
        if !frame.is_empty() {
            self.counters.refused.count(Refused::Malformed);
        }
        Opened::Messages(messages)
    }

    fn open_pulse(&mut self, from: PeerId, tag: u8, mut frame: Bytes) -> Opened {
        if frame.len() < 8 {
            return self.refuse(Refused::Malformed);
        }
        let run = frame.get_u64_le();
        let Ok(frame) = pulse::Frame::decode(&frame) else {
            return self.refuse(Refused::Malformed);
        };
        let standing = Standing { started: frame.started, is_healthy: frame.is_healthy };
        // Who has no member in common with this node has nothing to say to it.
        let Some(line) = self.line(from, tag) else {
            return self.refuse(Refused::ByMember(RefusedReason::NotMember));
        };
        if line.in_run != run {
            (line.in_run, line.inbox) = (run, pulse::Inbox::default());
        }
        let messages = match line.inbox.open(frame) {
            Ok(messages) => messages,
            Err(FrameError::Late { .. }) => return Opened::Nothing,
            Err(FrameError::Unknown | FrameError::TooMany) => {
                let again = if tag == BEATS { BEATS_AGAIN } else { ANSWERS_AGAIN };
                self.dispatch(from, Priority::Consensus, Bytes::copy_from_slice(&[again]));
                Vec::new()
            }
        };
        let is_own = |envelope: &Envelope| envelope.from.peer == from;
        if !messages.iter().all(is_own) {
            return self.refuse(Refused::Forged);
        }
        match tag {
            BEATS => Opened::Beat(standing, messages),
            _ => Opened::Answers(standing, messages),
        }
    }

    fn begin_line_anew(&mut self, peer: PeerId, tag: u8) -> Opened {
        if let Some(line) = self.line(peer, tag) {
            (line.out_run, line.outbox) = (0, pulse::Outbox::default());
        }
        Opened::Nothing
    }

    fn refuse(&self, why: Refused) -> Opened {
        self.counters.refused.count(why);
        Opened::Nothing
    }
}

fn priority(is_bulk: Bulk) -> Priority {
    if is_bulk { Priority::Bulk } else { Priority::Consensus }
}

/// What this node says of itself.
pub(super) fn standing(started: Time, is_healthy: bool) -> Standing {
    Standing { started, is_healthy }
}
