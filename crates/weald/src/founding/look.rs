//! How the members here stand, as the founding machine needs to know it.

use std::{collections::BTreeMap, sync::Arc};

use weald_cluster::{
    founding::{Input, PartitionView},
    partition::{
        DISSOLUTION_PREFIX, Dissolution, RowError, SYSTEM_PREFIXES, dissolution_of, system_of,
    },
};
use weald_core::{LogIndex, PartitionId, StateError, StateStore, SystemState};

use crate::members::{Hosted, MemberHealth, Members, PartitionStatus};

/// The partition that holds the network's state.
const SYSTEM: PartitionId = PartitionId(0);

/// What was seen last, so that only news is told.
#[derive(Debug, Default)]
pub(super) struct Look {
    seen: BTreeMap<PartitionId, PartitionView>,
    system: Option<(LogIndex, SystemState)>,
}

/// Why a member's rows could not be read; it is looked at again.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Row(#[from] RowError),
}

impl Look {
    /// What has changed at all members here, as inputs of the machine.
    pub(super) fn news(&mut self, members: &Members) -> Vec<Input> {
        let partitions: Vec<_> =
            members.partitions().into_iter().map(|status| status.partition).collect();
        let gone: Vec<_> =
            self.seen.keys().copied().filter(|seen| !partitions.contains(seen)).collect();
        let mut news: Vec<_> = gone.iter().map(|gone| self.forget(*gone)).collect();
        for partition in partitions {
            news.extend(self.news_of(members, partition));
        }
        news
    }

    /// What has changed at one of them.
    pub(super) fn news_of(&mut self, members: &Members, partition: PartitionId) -> Vec<Input> {
        let Some(hosted) = members.hosted(partition) else { return Vec::new() };
        self.look(&hosted).unwrap_or_else(|error| {
            tracing::warn!(target: "weald::founding", %partition, %error, "rows cannot be read");
            Vec::new()
        })
    }

    fn forget(&mut self, partition: PartitionId) -> Input {
        self.seen.remove(&partition);
        if partition == SYSTEM {
            self.system = None;
        }
        Input::Replica(partition, None)
    }

    fn look(&mut self, hosted: &Arc<Hosted>) -> Result<Vec<Input>, LookError> {
        let (partition, store) = (hosted.partition(), hosted.store());
        let mut news = Vec::new();
        let applied = store.applied();
        let dissolution = dissolution_of(store.rows(DISSOLUTION_PREFIX)?)?;
        let view = view(&hosted.status(), dissolution);
        if self.seen.get(&partition) != Some(&view) {
            self.seen.insert(partition, view.clone());
            news.push(Input::Replica(partition, Some(Box::new(view))));
        }
        let is_read = self.system.as_ref().is_some_and(|(at, _)| *at == applied);
        if partition == SYSTEM && !is_read {
            news.extend(self.look_at_system(&*store, applied)?);
        }
        Ok(news)
    }

    fn look_at_system(
        &mut self,
        store: &dyn StateStore,
        applied: LogIndex,
    ) -> Result<Option<Input>, LookError> {
        let mut rows = Vec::new();
        for prefix in SYSTEM_PREFIXES {
            rows.extend(store.rows(prefix)?);
        }
        let state = system_of(rows)?;
        let is_news = self.system.as_ref().is_none_or(|(_, seen)| *seen != state);
        self.system = Some((applied, state.clone()));
        Ok(is_news.then(|| Input::System(Box::new(state))))
    }
}

fn view(status: &PartitionStatus, dissolution: Dissolution) -> PartitionView {
    PartitionView {
        member: status.member,
        configuration: status.configuration.clone(),
        is_coordinator: status.is_coordinator(),
        coordinator: status.coordinator.map(|member| member.peer),
        may_change: status.may_change,
        caught_up: status.caught_up.clone(),
        is_amnesiac: status.health == MemberHealth::Amnesiac,
        dissolution,
    }
}
