//! Signatures that members give on committed entries, and what a majority of them proves
//! (rules C8, C16).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    Digest, LogIndex, PartitionId, Time, codec,
    identity::{PublicKey, Signature},
};

use super::{LogEntry, Message, Output, Point, RefusedReason, Report, State};
use crate::{
    configuration::{Configuration, ConfigurationId, Member, Placed},
    kinds,
};

/// What is attested: the hash of the entry at an index, under a configuration. It stands for the
/// whole log up to there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Attested {
    /// The partition.
    pub partition: PartitionId,
    /// Its generation.
    pub generation: u32,
    /// The configuration that holds at the entry.
    pub configuration: ConfigurationId,
    /// The entry.
    pub index: LogIndex,
    /// Its hash.
    pub hash: Digest,
}

/// One member's signature on a committed entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Attestation {
    /// What is attested.
    pub attested: Attested,
    /// By whom.
    pub member: Member,
    /// The member's key.
    pub key: PublicKey,
    /// The signature under [`Attestation::DOMAIN`].
    pub signature: Signature,
}

/// Attestations of a quorum on one entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Certificate {
    /// What is certified.
    pub attested: Attested,
    /// Each member's key and signature.
    pub signatures: BTreeMap<Member, (PublicKey, Signature)>,
}

/// The entry that carries a configuration, with its certificate. A joint one is certified by a
/// majority of the configuration before, any other by a majority of its own (rule C8).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct CertifiedConfiguration {
    /// The entry; its hash is what is certified.
    pub entry: LogEntry,
    /// The certificate.
    pub certificate: Certificate,
}

/// Two statements of one member that cannot both be honest.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Evidence {
    /// Two attestations for one index.
    Attestations(Box<(Attestation, Attestation)>),
    /// A coordinator's two entries of one epoch at one place, or one that contradicts what is
    /// committed. Not signed: it stops this member, it proves nothing to others.
    Entries(Box<Contradiction>),
}

/// An entry that a coordinator sent, and another one that this member holds at its place.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Contradiction {
    /// The coordinator.
    pub coordinator: Member,
    /// The entry that is held.
    pub held: Point,
    /// The entry that came.
    pub sent: Point,
}

impl Attested {
    /// The bytes that are signed.
    pub fn encode(&self) -> Bytes {
        codec::encode(kinds::ATTESTED, self)
    }
}

impl Attestation {
    /// The domain of the signature.
    pub const DOMAIN: &'static str = "weald attestation";

    /// Whether the key is the member's and the signature holds.
    pub fn is_valid(&self) -> bool {
        self.key.peer_id() == self.member.peer
            && self.key.verify(Self::DOMAIN, &self.attested.encode(), &self.signature)
    }

    /// Evidence against a member that attested two hashes at one index of one generation.
    pub fn contradicts(&self, other: &Self) -> bool {
        let place = |a: &Attested| (a.partition, a.generation, a.index);
        self.member == other.member
            && place(&self.attested) == place(&other.attested)
            && self.attested.hash != other.attested.hash
    }
}

impl Certificate {
    /// Whether a quorum of `configuration` has signed.
    pub fn is_valid(&self, configuration: &Configuration) -> bool {
        let message = self.attested.encode();
        configuration.is_quorum(|member| {
            self.signatures.get(member).is_some_and(|(key, signature)| {
                key.peer_id() == member.peer && key.verify(Attestation::DOMAIN, &message, signature)
            })
        })
    }
}

impl CertifiedConfiguration {
    /// The configuration, if the entry carries one.
    pub fn configuration(&self) -> Option<Configuration> {
        self.entry.carried()
    }

    /// Its place in the chain.
    pub fn id(&self) -> Option<ConfigurationId> {
        self.configuration().map(|configuration| configuration.id)
    }

    /// Whether this continues a chain of a partition, in one of its generations, that ends in
    /// `before`. What the same members have certified elsewhere says nothing here (rule C16).
    pub fn follows(&self, (partition, generation): (PartitionId, u32), before: &Placed) -> bool {
        let Some(own) = self.configuration() else { return false };
        let (index, hash) = (self.entry.index(), self.entry.hash());
        let named = Attested { partition, generation, configuration: own.id, index, hash };
        let is_next =
            own.id.0 == before.configuration.id.0 + 1 && self.certificate.attested == named;
        // A joint one is the decision of the voters before; what comes after is its own voters'.
        let continued = if own.is_joint() { &own.outgoing } else { &own.voters };
        let continues = *continued == before.configuration.voters;
        is_next && continues && self.certificate.is_valid(self.judge(&own, before))
    }

    fn judge<'a>(&self, own: &'a Configuration, before: &'a Placed) -> &'a Configuration {
        if own.is_joint() { &before.configuration } else { own }
    }
}

/// What a member remembers about signatures given and collected.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Attesting {
    /// What was handed out to be signed, and for whom; `None` for this member itself.
    asked: BTreeMap<LogIndex, (Attested, Option<Member>)>,
    /// When signatures were given within the last second.
    given: VecDeque<Time>,
    /// The certificate that is being collected.
    collecting: Option<Certificate>,
    /// The last attestation of each member, to notice contradictions.
    seen: BTreeMap<Member, Attestation>,
}

/// Attestations that are being signed, at most.
const ASKED_MAX: usize = 32;

impl State {
    /// The coordinator asks for a signature. One is given only on what is committed, so that
    /// nothing signed is ever cut (rule C16).
    pub(super) fn handle_attest(&mut self, index: LogIndex) {
        let Some(coordinator) = self.following.coordinator else { return };
        let chain = self.configurations.chain_from(index);
        if chain.is_empty() {
            self.ask_signature(index, Some(coordinator));
        } else {
            // It has its certificate: the coordinator was not there when it was made.
            self.send(coordinator, Message::Configurations { chain });
        }
    }

    fn ask_signature(&mut self, index: LogIndex, asker: Option<Member>) {
        let now = self.now.steady;
        let Some(attested) = self.attested(index) else { return };
        let second = std::time::Duration::from_secs(1);
        self.attesting.given.retain(|given| now.since(*given) < second);
        let max = usize::try_from(self.config.attestations_per_second).unwrap_or(usize::MAX);
        if self.attesting.given.len() >= max || self.attesting.asked.len() >= ASKED_MAX {
            return;
        }
        self.attesting.given.push_back(now);
        self.attesting.asked.insert(index, (attested, asker));
        self.outputs.push_back(Output::Sign { index, attested: attested.encode() });
    }

    /// What this member can say of a committed entry.
    fn attested(&self, index: LogIndex) -> Option<Attested> {
        if index > self.watermark {
            return None;
        }
        let entry = self.configurations.uncertified_at(index);
        let entry = entry.or_else(|| self.log.entry(index))?;
        let committed = self.configurations.committed();
        let own = entry.carried().map(|configuration| configuration.id);
        let holds = (committed.index <= index).then_some(committed.configuration.id);
        Some(Attested {
            partition: self.partition,
            generation: self.generation,
            configuration: own.or(holds)?,
            index,
            hash: entry.hash(),
        })
    }

    pub(super) fn handle_signed(&mut self, index: LogIndex, key: PublicKey, signature: Signature) {
        let Some((attested, asker)) = self.attesting.asked.remove(&index) else { return };
        let attestation = Attestation { attested, member: self.me, key, signature };
        match asker {
            Some(asker) => self.send(asker, Message::Attested(attestation)),
            None => self.handle_attested(attestation),
        }
    }

    /// A member's signature has come, or this member's own.
    pub(super) fn handle_attested(&mut self, attestation: Attestation) {
        let member = attestation.member;
        if !self.configurations.knows(&member) || !attestation.is_valid() {
            return self.report_refused(member, RefusedReason::BadCertificate);
        }
        if let Some(seen) = self.attesting.seen.insert(member, attestation)
            && seen.contradicts(&attestation)
        {
            let evidence = Evidence::Attestations(Box::new((seen, attestation)));
            self.outputs.push_back(Output::Report(Report::Evidence(evidence)));
        }
        let Some(collecting) = &mut self.attesting.collecting else { return };
        if collecting.attested == attestation.attested {
            collecting.signatures.insert(member, (attestation.key, attestation.signature));
            self.complete_certificate();
        }
    }

    /// Asks for the signatures that the oldest uncertified configuration still lacks.
    pub(super) fn collect_certificate(&mut self) {
        let Some((entry, before)) = self.configurations.uncertified() else { return };
        let (index, Some(own)) = (entry.index(), entry.carried()) else { return };
        let judge = if own.is_joint() { before.configuration } else { own };
        let Some(attested) = self.attested(index) else { return };
        let is_begun = self.attesting.collecting.as_ref().is_some_and(|c| c.attested == attested);
        if !is_begun {
            let signatures = BTreeMap::new();
            self.attesting.collecting = Some(Certificate { attested, signatures });
        }
        let Some(collecting) = &self.attesting.collecting else { return };
        let lacks = |member: &Member| !collecting.signatures.contains_key(member);
        let lacking: Vec<_> = judge.all_voters().filter(lacks).collect();
        let epoch = self.promised;
        for member in lacking {
            match member == self.me {
                true if !self.attesting.asked.contains_key(&index) => {
                    self.ask_signature(index, None);
                }
                true => {}
                false => self.send(member, Message::Attest { epoch, index }),
            }
        }
    }

    fn complete_certificate(&mut self) {
        let Some((entry, before)) = self.configurations.uncertified() else { return };
        let Some(certificate) = self.attesting.collecting.clone() else { return };
        let certified = CertifiedConfiguration { entry: entry.clone(), certificate };
        if certified.follows((self.partition, self.generation), &before) {
            self.attesting.collecting = None;
            self.certify(certified);
        }
    }
}
