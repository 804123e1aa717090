//! Versions and dependencies of one register.
//!
//! Revisions order the versions. Without them a version is known by its value, and all that is known of the
//! order is that the absence at the beginning comes first and that a transaction that read a version
//! and wrote the register made a later one.

use std::collections::BTreeMap;

use super::super::operation::Shown;
use super::super::{Object, Seen, Step, Value};
use super::graph::{Dependency, Edge};
use super::writers::Writer;
use super::{AnomalyKind, Inference, Part};

/// Adds what the transactions tell about the register.
pub(super) fn infer<'a>(inference: &mut Inference<'a>, object: Object<'a>, parts: &[Part<'a>]) {
    let mut register = Register {
        inference,
        object,
        finals: parts.iter().filter_map(|part| Some((part.place, final_write(part)?))).collect(),
        installed: BTreeMap::new(),
        readers: BTreeMap::new(),
        overwriters: BTreeMap::new(),
    };
    register.install_writes();
    let reads: Vec<Read> = parts.iter().filter_map(|part| register.outside_read(part)).collect();
    for read in &reads {
        register.install_read(read);
    }
    for read in &reads {
        register.place(read);
    }
    register.connect();
}

/// A version of the register.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Version {
    /// Absent, before the first write.
    Initial,
    Revision(u64),
    /// The one that this transaction wrote, at a place in the order that is not known.
    Of(usize),
}

/// What a transaction saw before its own writes.
#[derive(Clone, Copy)]
struct Read {
    place: usize,
    value: Option<Value>,
    revision: Option<u64>,
}

/// The last write of a transaction.
#[derive(Clone, Copy)]
struct FinalWrite {
    value: Option<Value>,
    revision: Option<u64>,
}

struct Register<'i, 'a> {
    inference: &'i mut Inference<'a>,
    object: Object<'a>,
    finals: BTreeMap<usize, FinalWrite>,
    /// By revision: who wrote it.
    installed: BTreeMap<u64, usize>,
    readers: BTreeMap<Version, Vec<usize>>,
    /// Readers of a version that wrote a later one.
    overwriters: BTreeMap<Version, Vec<usize>>,
}

impl<'a> Register<'_, 'a> {
    fn install_writes(&mut self) {
        let told: Vec<(usize, u64)> = self
            .finals
            .iter()
            .filter_map(|(place, write)| Some((*place, write.revision?)))
            .collect();
        for (place, revision) in told {
            self.install(revision, place, place);
        }
    }

    /// A write whose own answer was lost gets the revision that a reader was told.
    fn install_read(&mut self, read: &Read) {
        let Some(revision) = read.revision else { return };
        let Writer::One(writer) = self.inference.writers.of(self.object, read.value) else {
            return;
        };
        let is_final = self.finals.get(&writer).is_some_and(|write| write.value == read.value);
        if read.value.is_some() && is_final && writer != read.place {
            self.install(revision, writer, read.place);
        }
    }

    /// Puts the write of `writer` at `revision`, as the transaction `teller` was told.
    fn install(&mut self, revision: u64, writer: usize, teller: usize) {
        let write = self.finals.get_mut(&writer).expect("only final writes are installed");
        let told_before = *write.revision.get_or_insert(revision);
        if told_before != revision {
            let text = format!(
                "one version of {} is at revisions {told_before} and {revision}",
                self.object
            );
            self.report(AnomalyKind::IncompatibleOrders, &[writer, teller], &text);
            return;
        }
        let holder = *self.installed.entry(revision).or_insert(writer);
        if holder != writer {
            let text = format!("{} has two versions at revision {revision}", self.object);
            self.report(AnomalyKind::IncompatibleOrders, &[holder, writer, teller], &text);
        }
    }

    /// Checks that a transaction saw itself; what it saw before its own writes.
    fn outside_read(&mut self, part: &Part<'a>) -> Option<Read> {
        let mut outside = None;
        let mut current: Option<Option<Value>> = None;
        for step in &part.steps {
            match step {
                Step::Write { value, .. } => current = Some(*value),
                Step::Read { seen: Seen::Is(value), revision, .. } => {
                    if current.is_some_and(|current| current != *value) {
                        self.report_internal(part, *value);
                    } else if current.is_none() {
                        let (place, value) = (part.place, *value);
                        outside = Some(Read { place, value, revision: *revision });
                    }
                    current = Some(*value);
                }
                Step::Read { seen: Seen::IsNot(value), .. } if current == Some(*value) => {
                    self.report_internal(part, *value);
                }
                _ => {}
            }
        }
        outside
    }

    /// Finds the version that was read and keeps who read it.
    fn place(&mut self, read: &Read) {
        let Some(version) = self.version_of(read) else { return };
        self.readers.entry(version).or_default().push(read.place);
        if self.finals.contains_key(&read.place) {
            self.overwriters.entry(version).or_default().push(read.place);
        }
    }

    fn version_of(&mut self, read: &Read) -> Option<Version> {
        let writer = self.inference.writers.of(self.object, read.value);
        let Some(_) = read.value else { return self.absent_version(read, writer) };
        let shown = Shown(read.value);
        match writer {
            Writer::Nobody => {
                let text = format!("{} = {shown} was read and never written", self.object);
                self.report(AnomalyKind::UnwrittenRead, &[read.place], &text);
                None
            }
            Writer::Rejected(writer) => {
                let text = format!("{} = {shown} was read and its writer rejected", self.object);
                self.report(AnomalyKind::AbortedRead, &[writer, read.place], &text);
                None
            }
            Writer::Several => self.told_version(read),
            Writer::One(writer) => self.version_by(read, writer),
        }
    }

    /// The version of a read whose value one transaction has written.
    fn version_by(&mut self, read: &Read, writer: usize) -> Option<Version> {
        let shown = Shown(read.value);
        if writer == read.place {
            let text = format!("{} = {shown} was read before it was written", self.object);
            self.report(AnomalyKind::InternalInconsistency, &[writer], &text);
            return None;
        }
        let write = self.finals.get(&writer).copied();
        if write.is_none_or(|write| write.value != read.value) {
            let text = format!("{} = {shown} was read and its writer went on", self.object);
            self.report(AnomalyKind::IntermediateRead, &[writer, read.place], &text);
            return None;
        }
        let revision = write.and_then(|write| write.revision);
        Some(revision.map_or(Version::Of(writer), Version::Revision))
    }

    /// The version at the revision that a reader was told, for values that do not name their writer.
    fn told_version(&mut self, read: &Read) -> Option<Version> {
        let revision = read.revision?;
        let writer = *self.installed.get(&revision)?;
        if self.finals[&writer].value != read.value {
            let text = format!("{} has two values at revision {revision}", self.object);
            self.report(AnomalyKind::IncompatibleOrders, &[writer, read.place], &text);
            return None;
        }
        Some(Version::Revision(revision))
    }

    /// An absent register was never written or is deleted; only a revision tells which deletion.
    fn absent_version(&mut self, read: &Read, deleter: Writer) -> Option<Version> {
        let is_never_deleted = matches!(deleter, Writer::Nobody | Writer::Rejected(_));
        if is_never_deleted || read.revision == Some(0) {
            return Some(Version::Initial);
        }
        self.told_version(read)
    }

    fn connect(&mut self) {
        let writers: Vec<usize> = self.installed.values().copied().collect();
        for pair in writers.windows(2) {
            self.add(pair[0], pair[1], Dependency::WriteWrite);
        }
        let unplaced: Vec<usize> = self
            .finals
            .iter()
            .filter(|(_, write)| write.revision.is_none())
            .map(|(place, _)| *place)
            .collect();
        for (version, readers) in std::mem::take(&mut self.readers) {
            let (writer, mut later) = self.around(version);
            if version == Version::Initial {
                later.extend(&unplaced);
            }
            for reader in readers {
                if let Some(writer) = writer {
                    self.add(writer, reader, Dependency::WriteRead);
                }
                for overwriter in &later {
                    self.add(reader, *overwriter, Dependency::ReadWrite);
                }
            }
        }
    }

    /// Who wrote the version, and who is known to have written the next ones.
    fn around(&self, version: Version) -> (Option<usize>, Vec<usize>) {
        let mut later = self.overwriters.get(&version).cloned().unwrap_or_default();
        let writer = match version {
            Version::Initial => {
                later.extend(self.installed.values().next());
                None
            }
            Version::Revision(revision) => {
                later.extend(self.installed.range(revision + 1..).map(|(_, place)| place).next());
                self.installed.get(&revision).copied()
            }
            Version::Of(writer) => Some(writer),
        };
        (writer, later)
    }

    fn add(&mut self, source: usize, target: usize, dependency: Dependency) {
        let object = Some(self.object);
        self.inference.graph.add(source, Edge { target, dependency, object });
    }

    fn report_internal(&mut self, part: &Part<'a>, value: Option<Value>) {
        let text = format!("{} = {} contradicts the transaction itself", self.object, Shown(value));
        self.report(AnomalyKind::InternalInconsistency, &[part.place], &text);
    }

    fn report(&mut self, kind: AnomalyKind, places: &[usize], text: &str) {
        self.inference.report(kind, places, text.to_owned());
    }
}

fn final_write(part: &Part<'_>) -> Option<FinalWrite> {
    part.steps.iter().rev().find_map(|step| match step {
        Step::Write { value, revision, .. } => {
            Some(FinalWrite { value: *value, revision: *revision })
        }
        _ => None,
    })
}
