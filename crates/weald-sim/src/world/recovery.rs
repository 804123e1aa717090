//! Forced recoveries: an operator comes to a node whose partition has lost its majority, and signs
//! that it goes on alone. Who signs may be nobody of consequence.

use std::sync::OnceLock;

use weald_cluster::{
    recovery::{Act, Authority, Beginning, Recovery, RecoveryError, Remains, plan},
    replica::{Persist, PersistTicket, Stored},
};
use weald_core::{
    Digest, LogIndex, SeededEntropy,
    identity::{Identity, KeyStore},
};

use super::World;
use crate::{
    coverage::Rare,
    disk::Recovered,
    invariants::Seen,
    name::Name,
    node::{Node, PARTITION},
};

/// The administrator of every world.
pub(crate) fn administrator() -> &'static Identity {
    static ADMINISTRATOR: OnceLock<Identity> = OnceLock::new();
    ADMINISTRATOR.get_or_init(|| Identity::generate(&mut SeededEntropy::new(1_000_001)))
}

/// Somebody who would like to be.
pub(super) fn usurper() -> &'static Identity {
    static USURPER: OnceLock<Identity> = OnceLock::new();
    USURPER.get_or_init(|| Identity::generate(&mut SeededEntropy::new(1_000_002)))
}

/// Whom the members of every world believe.
pub(crate) fn authority() -> Authority {
    let administrators = [administrator().public().peer_id()].into();
    Authority { network: Digest::of("simulated network", &[]), administrators }
}

impl World {
    /// Ends a node's run and lets it go on alone in a new generation, if `signer` may say so; then it
    /// starts.
    pub(super) fn recover(&mut self, name: Name, signer: &Identity) {
        self.crash(name);
        if let Err(error) = self.begin_generation(name, signer) {
            self.trace.line(self.now, || format!("{name} is not recovered: {error}"));
        }
        self.start(name);
    }

    fn begin_generation(&mut self, name: Name, signer: &Identity) -> Result<(), RecoveryError> {
        let nonce = self.random.next();
        let at = self.now;
        let genesis = self.genesis.clone();
        let Some(node) = self.nodes.get_mut(&name) else { return Ok(()) };
        let snapshot = node.disk.checkpoint.as_ref().map(|checkpoint| checkpoint.meta.point);
        let Some(found) = node.disk.log.recover(snapshot) else { return Ok(()) };
        let Recovered { health, stored, before, entries } = found;
        let stored = stored.unwrap_or_else(|| Stored::founding(node.first_member(), genesis));
        let remains = Remains::new(stored.clone(), (before, &entries), health);
        let mut drawn = [0; 16];
        drawn[..8].copy_from_slice(&nonce.to_le_bytes());
        let wall = node.clock.at(at).wall;
        let beginning = Beginning { partition: PARTITION, at: wall, nonce: drawn };
        let act = plan(&authority(), beginning, &remains, &[])?;
        let recovery = Recovery::sign(act, signer).expect("the key is in memory");
        let kept = stored.recovered((&authority(), PARTITION), recovery.clone())?;
        node.keep(kept);
        self.coverage.reach(Rare::ForcedRecovery);
        self.note_recovery(name, &recovery.act);
        self.see(&Seen::Recovered { node: name, before, entries: &entries });
        Ok(())
    }

    fn note_recovery(&mut self, name: Name, act: &Act) {
        let (generation, kept) = (act.generation, act.kept.index);
        let dropped = act.dropped().map_or_else(String::new, |dropped| {
            format!(", {} to {} are known to be dropped", dropped.from, dropped.to)
        });
        self.trace.line(self.now, || {
            format!("{name} begins generation {generation} with all up to {kept}{dropped}")
        });
    }

    /// A node has left a generation that is over.
    pub(super) fn left_behind(&mut self, name: Name, recovery: &Recovery, held: LogIndex) {
        self.coverage.reach(Rare::LeftBehind);
        let generation = recovery.act.generation;
        self.trace.line(self.now, || {
            format!(
                "{name} hears of generation {generation} and gives up a log that ends at {held}"
            )
        });
        let node = self.nodes.get_mut(&name).expect("it has an output");
        let Some(process) = &mut node.process else { return };
        let pending = std::mem::take(&mut process.pending);
        if recovery.act.gave_life_to(&process.state.me()) {
            self.reborn(name);
        }
        for pending in pending.into_values() {
            self.reply((pending.client, pending.serial), crate::client::Reply::Retry);
        }
    }
}

impl Node {
    /// Replaces what the node keeps beside its entries, durably; it does not run.
    fn keep(&mut self, stored: Stored) {
        self.lost_life = None;
        self.disk.is_damaged = false;
        self.disk.log.note_repaired();
        self.disk.log.submit(Persist {
            ticket: PersistTicket::default(),
            restart_at: None,
            cut_from: None,
            entries: Vec::new(),
            state: Some(stored),
        });
        if self.disk.log.begin_sync() {
            let synced = self.disk.log.finish_sync();
            assert!(synced.is_ok(), "a disk of nobody's fails when it is told to only");
        }
    }
}
