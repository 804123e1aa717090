//! The configurations that a member knows: the committed one, those in its log above, and the
//! certified chain by which it came to them (rule C8).

use std::collections::VecDeque;

use weald_core::{LogIndex, PartitionId};

use super::{Certificate, CertifiedConfiguration, LogEntry, stored::StoredConfigurations};
use crate::configuration::{Configuration, ConfigurationId, Member, Placed};

/// **Invariant:** places rise from `root` over `committed` and `uncommitted`, and the ids of those
/// in the log are consecutive.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Configurations {
    /// The partition and its generation: of what certificates have to be.
    of: (PartitionId, u32),
    /// Where the chain begins: what this member was founded or joined with, or what a forced
    /// recovery says.
    root: Placed,
    committed: Placed,
    /// In the log, not known to be committed.
    uncommitted: VecDeque<LogEntry>,
    /// The certified ones after the root, oldest first.
    chain: Vec<CertifiedConfiguration>,
    /// Committed, without a certificate, oldest first.
    uncertified: VecDeque<LogEntry>,
    current: Configuration,
}

impl Configurations {
    /// Those of a partition in a generation.
    pub(super) fn new(of: (PartitionId, u32), stored: StoredConfigurations) -> Self {
        let StoredConfigurations { root, committed, chain, uncertified } = stored;
        let current = committed.configuration.clone();
        let (uncommitted, uncertified) = (VecDeque::new(), uncertified.into());
        Self { of, root, committed, uncommitted, chain, uncertified, current }
    }

    /// What is kept on the disk.
    pub(super) fn stored(&self) -> StoredConfigurations {
        StoredConfigurations {
            root: self.root.clone(),
            committed: self.committed.clone(),
            chain: self.chain.clone(),
            uncertified: self.uncertified.iter().cloned().collect(),
        }
    }

    /// Takes in the configurations of recovered entries.
    pub(super) fn scan(&mut self, entries: &[LogEntry]) {
        let committed = self.committed.index;
        for entry in entries.iter().filter(|entry| entry.index() > committed) {
            self.add(entry);
        }
    }

    /// The one that counts.
    pub(super) fn current(&self) -> &Configuration {
        &self.current
    }

    /// The last committed one.
    pub(super) fn committed(&self) -> &Placed {
        &self.committed
    }

    /// Whether one waits to be committed.
    pub(super) fn has_uncommitted(&self) -> bool {
        !self.uncommitted.is_empty()
    }

    /// The certified ones.
    pub(super) fn chain(&self) -> &[CertifiedConfiguration] {
        &self.chain
    }

    /// Whether `member` is a voter of one that counts or may count again.
    pub(super) fn may_need(&self, member: &Member) -> bool {
        let carried = || self.uncommitted.iter().filter_map(LogEntry::carried);
        let is_kept = |configuration: &Configuration| configuration.is_voter(member);
        let may_return =
            || is_kept(&self.committed.configuration) || carried().any(|c| is_kept(&c));
        is_kept(&self.current) || (self.has_uncommitted() && may_return())
    }

    /// The last id whose configuration is known to be committed.
    pub(super) fn known_id(&self) -> ConfigurationId {
        self.committed.configuration.id.max(self.certified_id())
    }

    /// Whether `member` belongs to a configuration that this member knows to count.
    pub(super) fn knows(&self, member: &Member) -> bool {
        // Reading the certified one takes longest; few ask for more than the others.
        let certified = || self.chain.last().and_then(CertifiedConfiguration::configuration);
        self.current.contains(member)
            || self.committed.configuration.contains(member)
            || self.root.configuration.contains(member)
            || certified().is_some_and(|c| c.id > self.current.id && c.contains(member))
    }

    /// Adds the configuration of an entry, if it carries one that counts: what a forced recovery has
    /// kept says nothing of members (rule C16). Whether it does.
    pub(super) fn add(&mut self, entry: &LogEntry) -> bool {
        if entry.index() <= self.root.index {
            return false;
        }
        let Some(configuration) = entry.carried() else { return false };
        self.uncommitted.push_back(entry.clone());
        self.current = configuration;
        true
    }

    /// Notes that the log was cut. Whether another configuration counts now.
    pub(super) fn cut(&mut self, from: LogIndex) -> bool {
        let before = self.uncommitted.len();
        self.uncommitted.retain(|entry| entry.index() < from);
        let carried = self.uncommitted.back().and_then(LogEntry::carried);
        self.current = carried.unwrap_or_else(|| self.committed.configuration.clone());
        self.uncommitted.len() < before
    }

    /// Notes that everything up to `watermark` is committed; returns what became committed.
    pub(super) fn commit(&mut self, watermark: LogIndex) -> Vec<Configuration> {
        let mut became = Vec::new();
        while self.uncommitted.front().is_some_and(|entry| entry.index() <= watermark) {
            let entry = self.uncommitted.pop_front().expect("it was looked at");
            let configuration = entry.carried().expect("only such entries are kept here");
            self.certify_by(&entry);
            self.committed = Placed { index: entry.index(), configuration: configuration.clone() };
            if configuration.id > self.certified_id() {
                self.uncertified.push_back(entry);
            }
            became.push(configuration);
        }
        became
    }

    /// The oldest committed one without a certificate: its entry, and the configuration before.
    pub(super) fn uncertified(&self) -> Option<(&LogEntry, Placed)> {
        Some((self.uncertified.front()?, self.last_certified()))
    }

    /// The entry at `index`, if it carries a committed configuration without a certificate.
    pub(super) fn uncertified_at(&self, index: LogIndex) -> Option<&LogEntry> {
        self.uncertified.iter().find(|entry| entry.index() == index)
    }

    /// Whether every committed configuration has its certificate. The root needs none.
    pub(super) fn is_certified(&self) -> bool {
        self.uncertified.is_empty()
    }

    /// Takes the certificate of the configuration before out of a committed entry, if it has one: who
    /// collected or signed it may be gone.
    fn certify_by(&mut self, next: &LogEntry) {
        let Some(entry) = self.uncertified.front().cloned() else { return };
        if let Some(certificate) = next.certificate_before() {
            self.certify(CertifiedConfiguration { entry, certificate });
        }
    }

    /// The certificate of the last configuration of the chain, if it has any.
    pub(super) fn last_certificate(&self) -> Option<&Certificate> {
        self.chain.last().map(|certified| &certified.certificate)
    }

    /// Adds a certified configuration to the chain, if it continues it.
    pub(super) fn certify(&mut self, certified: CertifiedConfiguration) -> bool {
        if !certified.follows(self.of, &self.last_certified()) {
            return false;
        }
        let index = certified.entry.index();
        self.uncertified.retain(|entry| entry.index() > index);
        self.chain.push(certified);
        true
    }

    /// The certified configurations after `have`.
    pub(super) fn chain_after(&self, have: ConfigurationId) -> Vec<CertifiedConfiguration> {
        let is_after = |c: &&CertifiedConfiguration| c.id().is_some_and(|id| id > have);
        self.chain.iter().filter(is_after).cloned().collect()
    }

    /// The certified configurations from the one of the entry at `index` on.
    pub(super) fn chain_from(&self, index: LogIndex) -> Vec<CertifiedConfiguration> {
        let is_it = |certified: &CertifiedConfiguration| certified.entry.index() == index;
        let first = self.chain.iter().position(is_it).unwrap_or(self.chain.len());
        self.chain[first..].to_vec()
    }

    /// Whether a chain begins beyond the one that is held.
    pub(super) fn lacks_before(&self, chain: &[CertifiedConfiguration]) -> bool {
        let first = chain.first().and_then(CertifiedConfiguration::id);
        first.is_some_and(|first| first.0 > self.certified_id().0 + 1)
    }

    /// Takes in a peer's chain. Whether all of it holds.
    pub(super) fn learn(&mut self, chain: Vec<CertifiedConfiguration>) -> bool {
        chain.into_iter().all(|certified| {
            let is_known = certified.id().is_some_and(|id| id <= self.certified_id());
            is_known || self.certify(certified)
        })
    }

    /// Begins again with what a snapshot says.
    pub(super) fn install(&mut self, committed: Placed, chain: Vec<CertifiedConfiguration>) {
        self.uncommitted.clear();
        self.uncertified.clear();
        self.current = committed.configuration.clone();
        self.committed = committed;
        self.learn(chain);
    }

    /// The one that holds at `index`, which is committed, if it is still known.
    pub(super) fn at(&self, index: LogIndex) -> Option<Placed> {
        let placed = |entry: &LogEntry| {
            Some(Placed { index: entry.index(), configuration: entry.carried()? })
        };
        let certified = self.chain.iter().filter_map(|certified| placed(&certified.entry));
        let others = self.uncertified.iter().filter_map(placed);
        let all = certified.chain(others).chain([self.root.clone(), self.committed.clone()]);
        let held = all.filter(|placed| placed.index <= index);
        // What a generation's root replaces counts no more.
        let is_earlier = (index < self.root.index).then(|| self.root.clone());
        is_earlier.or_else(|| held.max_by_key(|placed| placed.configuration.id))
    }

    /// Begins again with an empty log, from the last configuration that is certified.
    pub(super) fn forget_log(&mut self) {
        self.uncommitted.clear();
        self.uncertified.clear();
        self.committed = self.root.clone();
        self.current = self.last_certified().configuration;
    }

    /// The last id whose certificate is held, or the root's: a chain goes on after it.
    pub(super) fn certified_id(&self) -> ConfigurationId {
        let last = self.chain.last().and_then(CertifiedConfiguration::id);
        last.unwrap_or(self.root.configuration.id)
    }

    fn last_certified(&self) -> Placed {
        let last = self.chain.last().and_then(|certified| {
            let configuration = certified.configuration()?;
            Some(Placed { index: certified.entry.index(), configuration })
        });
        last.unwrap_or_else(|| self.root.clone())
    }
}
