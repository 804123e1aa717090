//! The outbox of a node: messages that are queued until their topics are reached, on the disk.
//!
//! Each run of a publisher of a topic whose policy is `Available` has a file: whose run it is, then
//! what is to be remembered of it. A file whose run has ended goes once nothing of it waits; the
//! newest of a topic stays, so that the next run is above it and the topic can be published to while
//! it cannot be read.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use weald_core::{Digest, codec};
use weald_pubsub::{Incarnation, Outbox, OutboxError, PublisherRecord, TopicId, TopicOptions};
use weald_storage::journal::{Journal, OpenedJournal, make_folder};

use super::limits::{
    OUTBOX_COMPACT_BYTES, OUTBOX_NODE_BYTES_MAX, OUTBOX_NODE_MESSAGES_MAX, PUBLISHERS_MAX,
};
use crate::{Error, ErrorKind, Metric, Result, kinds};

/// What a file of the outbox holds: first whose run it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Record {
    Begun(Box<TopicOptions>, Incarnation),
    Publisher(PublisherRecord),
}

/// The outbox of a node, for all topics.
pub(crate) struct Outboxes {
    folder: PathBuf,
    /// The newest run of each topic.
    newest: Mutex<BTreeMap<TopicId, (TopicOptions, Incarnation)>>,
    held: Mutex<Held>,
    figures: Figures,
}

/// What waits in all topics with an outbox, on the disk or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Held {
    pub(super) fn of(outbox: &Outbox) -> Self {
        Self { messages: outbox.len(), bytes: outbox.bytes() }
    }

    pub(super) fn less(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    pub(super) fn more(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }
}

/// What has happened since the start.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) queued: AtomicU64,
    pub(super) published: AtomicU64,
    pub(super) given_up: AtomicU64,
    pub(super) full: AtomicU64,
    pub(super) failures: AtomicU64,
}

/// The file of one run.
#[derive(Debug)]
pub(super) struct OutboxFile {
    options: TopicOptions,
    incarnation: Incarnation,
    journal: Journal,
}

/// What an earlier process has left of a run.
pub(super) struct Left {
    pub(super) options: TopicOptions,
    pub(super) outbox: Outbox,
    pub(super) file: OutboxFile,
}

impl Outboxes {
    /// Opens the outbox in `folder`, which is made if it is not there, with what waits in it.
    ///
    /// # Errors
    /// When the folder cannot be read or made.
    pub(crate) fn open(folder: PathBuf) -> Result<(Arc<Self>, LeftRuns)> {
        let unreadable = |error: io::Error| {
            let what = format!("the outbox: {error} path={}", folder.display());
            Error::caused(ErrorKind::Unavailable, what, error)
        };
        make_folder(&folder).map_err(unreadable)?;
        let mut runs = Vec::new();
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            runs.extend(opened(&entry.map_err(unreadable)?.path()));
        }
        runs.sort_by_key(|left| (left.options.address.topic, left.file.incarnation));
        let newest = runs
            .iter()
            .map(|left| (left.options.address.topic, (left.options.clone(), left.file.incarnation)))
            .collect();
        let outboxes = Self {
            folder,
            newest: Mutex::new(newest),
            held: Mutex::default(),
            figures: Figures::default(),
        };
        let mut waiting = Vec::new();
        for left in runs {
            match left.outbox.is_empty() {
                true => outboxes.put_away(left.file),
                false => {
                    outboxes.held.lock().add(Held::of(&left.outbox));
                    waiting.push(left);
                }
            }
        }
        Ok((Arc::new(outboxes), LeftRuns(waiting)))
    }

    /// The newest run of a topic that is known here, with the topic's rules then.
    pub(super) fn newest(&self, topic: &TopicId) -> Option<(TopicOptions, Incarnation)> {
        self.newest.lock().get(topic).cloned()
    }

    /// Begins a run. Its file is durable when this returns.
    ///
    /// # Errors
    /// When it cannot be written, or too many topics are published to.
    pub(super) fn begin(
        &self,
        options: TopicOptions,
        incarnation: Incarnation,
    ) -> io::Result<OutboxFile> {
        let topic = options.address.topic;
        {
            let newest = self.newest.lock();
            if newest.len() >= PUBLISHERS_MAX && !newest.contains_key(&topic) {
                return Err(io::Error::other(format!("too many topics: max={PUBLISHERS_MAX}")));
            }
        }
        let begun = Record::Begun(Box::new(options.clone()), incarnation);
        let path = self.folder.join(format!("{topic}-{incarnation}"));
        let journal = Journal::create(&path, &[encode(&begun)])?;
        let mut newest = self.newest.lock();
        if newest.get(&topic).is_none_or(|(_, known)| *known < incarnation) {
            newest.insert(topic, (options.clone(), incarnation));
        }
        drop(newest);
        Ok(OutboxFile { options, incarnation, journal })
    }

    /// Nothing waits of a run, and nothing new comes: its file goes, if it is not the newest.
    pub(super) fn put_away(&self, file: OutboxFile) {
        let topic = file.options.address.topic;
        let known = self.newest.lock().get(&topic).map(|(_, incarnation)| *incarnation);
        if known == Some(file.incarnation) {
            return;
        }
        if let Err(error) = file.journal.remove() {
            tracing::warn!(target: "weald::topic", %error, %topic, "a file of the outbox stays");
        }
    }

    /// Holds room for messages that are taken; `false` when there is none.
    pub(super) fn try_hold(&self, wanted: Held) -> bool {
        let mut held = self.held.lock();
        let after = held.more(wanted);
        let fits =
            after.messages <= OUTBOX_NODE_MESSAGES_MAX && after.bytes <= OUTBOX_NODE_BYTES_MAX;
        match fits {
            true => *held = after,
            false => drop(self.figures.full.fetch_add(1, Relaxed)),
        }
        fits
    }

    /// Gives room back.
    pub(super) fn release(&self, room: Held) {
        let mut held = self.held.lock();
        *held = held.less(room);
    }

    /// The error of an outbox without room.
    pub(super) fn full(&self) -> Error {
        let Held { messages, bytes } = *self.held.lock();
        super::publishing::full(&OutboxError::Full { messages, bytes })
    }

    pub(super) fn figures(&self) -> &Figures {
        &self.figures
    }

    /// What the outbox counts.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let Held { messages, bytes } = *self.held.lock();
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let Figures { queued, published, given_up, full, failures } = &self.figures;
        let count =
            |name: &str, help, count: &AtomicU64| Metric::counter(name, help, count.load(Relaxed));
        let help = "Messages that wait for topics of the policy Available.";
        let messages = Metric::gauge("weald_outbox_messages", help, wide(messages));
        let help = "Bytes of the messages that wait for topics of the policy Available.";
        let bytes = Metric::gauge("weald_outbox_bytes", help, wide(bytes));
        let help = "Messages that were answered as queued.";
        let queued = count("weald_outbox_queued_total", help, queued);
        let help = "Queued messages that have come to their topics.";
        let published = count("weald_outbox_published_total", help, published);
        let help = "Queued messages that their topics have refused, or that have expired.";
        let given_up = count("weald_outbox_given_up_total", help, given_up);
        let help = "Publishes refused because the outbox was full.";
        let full = count("weald_outbox_full_total", help, full);
        let help = "Messages that could not be written to the outbox.";
        let failures = count("weald_outbox_failures_total", help, failures);
        vec![messages, bytes, queued, published, given_up, full, failures]
    }
}

/// What earlier processes have left.
pub(crate) struct LeftRuns(pub(super) Vec<Left>);

impl OutboxFile {
    /// Keeps records. What is taken is durable when this returns; that a fate is certain may be
    /// forgotten, since the topic knows it.
    ///
    /// # Errors
    /// When they cannot be written: none of them counts, and no later one.
    pub(super) fn keep(&mut self, records: Vec<PublisherRecord>) -> io::Result<()> {
        let is_taken = |record: &PublisherRecord| matches!(record, PublisherRecord::Taken(_));
        let is_synced = records.iter().any(is_taken);
        let records: Vec<_> =
            records.into_iter().map(|record| encode(&Record::Publisher(record))).collect();
        self.journal.append(&records, is_synced)
    }

    pub(super) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whether most of the file is about messages whose fate is certain.
    pub(super) fn is_spent(&self, outbox: &Outbox) -> bool {
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let bytes = self.journal.bytes();
        bytes > OUTBOX_COMPACT_BYTES && bytes / 2 > wide(outbox.bytes())
    }

    /// Makes the file anew of what waits.
    ///
    /// # Errors
    /// When it cannot be written; then it stays as it is.
    pub(super) fn compact(&mut self, records: Vec<PublisherRecord>) -> io::Result<()> {
        let begun = Record::Begun(Box::new(self.options.clone()), self.incarnation);
        let records = records.into_iter().map(Record::Publisher);
        let records: Vec<_> = [begun].into_iter().chain(records).map(|r| encode(&r)).collect();
        self.journal.rewrite(&records)
    }
}

impl Held {
    fn add(&mut self, other: Self) {
        *self = self.more(other);
    }
}

fn encode(record: &Record) -> Bytes {
    codec::encode(kinds::OUTBOX_RECORD, record)
}

/// Whether a file has the name of a run's: others, and what was being written, are left alone.
fn is_run(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let parts = name.and_then(|name| name.rsplit_once('-'));
    parts.is_some_and(|(topic, run)| topic.parse::<Digest>().is_ok() && run.parse::<u64>().is_ok())
}

/// What a file holds; `None` for one that is not a run's.
fn opened(path: &Path) -> Option<Left> {
    let told = |error: &dyn std::fmt::Display| {
        let path = path.display();
        tracing::error!(target: "weald::topic", %error, %path, "a file of the outbox is passed over");
    };
    if !is_run(path) {
        return None;
    }
    let OpenedJournal { journal, records, cut } =
        Journal::open(path).map_err(|error| told(&error)).ok()?;
    if cut > 0 {
        let path = path.display();
        tracing::warn!(target: "weald::topic", cut, %path, "the end of a file of the outbox is cut off");
    }
    let mut records = records.iter().map(|record| codec::decode(kinds::OUTBOX_RECORD, record));
    let Some(Ok(Record::Begun(options, incarnation))) = records.next() else {
        told(&"it does not say whose it is");
        return None;
    };
    let mut outbox = Outbox::new(incarnation);
    for record in records {
        match record {
            Ok(Record::Publisher(record)) => outbox.apply(&record),
            Ok(Record::Begun(..)) => told(&"a run begins twice"),
            Err(error) => told(&error),
        }
    }
    let file = OutboxFile { options: (*options).clone(), incarnation, journal };
    Some(Left { options: *options, outbox, file })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use weald_core::{
        SeededEntropy, Time,
        identity::{Identity, KeyStore},
    };
    use weald_pubsub::{Message, Publisher, PublisherSequence, TopicAddress, TopicPolicy};

    use super::*;

    fn options() -> TopicOptions {
        let (network, topic) = (Digest::of("a network", &[]), TopicId::of("chat"));
        let (address, policy) = (TopicAddress { network, topic }, TopicPolicy::default());
        TopicOptions { address, policy, token: None }
    }

    fn keys() -> Identity {
        Identity::generate(&mut SeededEntropy::new(1))
    }

    /// Messages of a run, as they are kept.
    fn taken(incarnation: Incarnation, count: usize) -> Vec<PublisherRecord> {
        let run = Outbox::new(incarnation);
        let available = weald_pubsub::Availability::Available;
        let mut publisher = Publisher::restore(options().address, available, run);
        for _ in 0..count {
            let body = (Bytes::from_static(b"body"), Duration::from_secs(60));
            publisher.publish(Time::from_millis(1), body, &keys() as &dyn KeyStore).unwrap();
        }
        publisher.outbox().records()
    }

    fn open(folder: &Path) -> (Arc<Outboxes>, Vec<Left>) {
        let (outboxes, left) = Outboxes::open(folder.to_owned()).unwrap();
        (outboxes, left.0)
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn ps1523_what_was_kept_is_there_after_a_restart_and_what_is_done_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (outboxes, _) = open(folder.path());
        let run = Incarnation(7);
        let mut file = outboxes.begin(options(), run).unwrap();
        let records = taken(run, 3);
        file.keep(records.clone()).unwrap();
        file.keep(vec![PublisherRecord::Done(PublisherSequence(1))]).unwrap();
        drop((outboxes, file));
        let (outboxes, left) = open(folder.path());
        let [Left { outbox, options: known, .. }] = &left[..] else { panic!("one run") };
        assert_eq!((outbox.len(), outbox.last()), (2, PublisherSequence(3)));
        assert_eq!(known, &options());
        let wait: Vec<&Message> = records[1..].iter().map(message).collect();
        assert!(wait.iter().all(|message| outbox.contains(message.sequence)));
        assert_eq!(outboxes.newest(&TopicId::of("chat")), Some((options(), run)));
        assert_eq!(*outboxes.held.lock(), Held { messages: 2, bytes: 8 });
    }

    fn message(record: &PublisherRecord) -> &Message {
        match record {
            PublisherRecord::Taken(message) => message,
            PublisherRecord::Done(_) => panic!("{record:?}"),
        }
    }

    #[test]
    fn the_newest_run_of_a_topic_is_known_and_older_ones_go_once_nothing_of_them_waits() {
        let folder = tempfile::tempdir().unwrap();
        let (outboxes, _) = open(folder.path());
        for run in [3, 9, 5].map(Incarnation) {
            outboxes.begin(options(), run).unwrap();
        }
        let mut waiting = outboxes.begin(options(), Incarnation(4)).unwrap();
        waiting.keep(taken(Incarnation(4), 1)).unwrap();
        fs::write(folder.path().join("foreign"), b"something else").unwrap();
        let (outboxes, mut left) = open(folder.path());
        assert_eq!(outboxes.newest(&TopicId::of("chat")).unwrap().1, Incarnation(9));
        assert_eq!((left.len(), files(folder.path())), (1, 3));
        outboxes.put_away(left.remove(0).file);
        assert_eq!(files(folder.path()), 2);
        assert_eq!(fs::read(folder.path().join("foreign")).unwrap(), b"something else");
    }

    #[test]
    fn a_file_is_made_anew_of_what_waits() {
        let folder = tempfile::tempdir().unwrap();
        let (outboxes, _) = open(folder.path());
        let run = Incarnation(7);
        let mut file = outboxes.begin(options(), run).unwrap();
        let records = taken(run, 40);
        file.keep(records.clone()).unwrap();
        let before = file.journal.bytes();
        file.compact(records[38..].to_vec()).unwrap();
        assert!(file.journal.bytes() < before / 4);
        assert_eq!(open(folder.path()).1[0].outbox.len(), 2);
    }

    #[test]
    fn the_outbox_of_a_node_has_a_bound_with_a_typed_error_that_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (outboxes, _) = open(folder.path());
        let all = Held { messages: OUTBOX_NODE_MESSAGES_MAX, bytes: 0 };
        let one = Held { messages: 1, bytes: 1 };
        assert!(outboxes.try_hold(all) && !outboxes.try_hold(one));
        let full = outboxes.full();
        let source = std::error::Error::source(&full).unwrap();
        assert!(matches!(source.downcast_ref(), Some(OutboxError::Full { bytes: 0, .. })));
        assert_eq!((full.kind(), full.is_retryable()), (ErrorKind::Busy, true));
        outboxes.release(one);
        assert!(outboxes.try_hold(one));
        let bytes = Held { messages: 0, bytes: OUTBOX_NODE_BYTES_MAX };
        assert!(!outboxes.try_hold(bytes));
        let full = outboxes.metrics().into_iter().find(|m| m.name == "weald_outbox_full_total");
        assert_eq!(full.unwrap().value, crate::MetricValue::Counter(2));
    }
}
