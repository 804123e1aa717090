//! Handing a state from member to member, page by page (rule C15).
//!
//! A member that lags too far asks another for the first page and gets it together with what the
//! state stands for; it asks for the others by number. A page that was lost is asked for again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_cluster::replica::SnapshotMeta;
use weald_core::{CallError, LogIndex, PartitionId, PeerId, Request, StateError, Transport, codec};
use weald_storage::state::{InstallError, StateExport, StateInstall};

use super::{
    STATE_PAGE,
    desk::KeptSnapshot,
    limits::{EXPORTS_MAX, STATE_BYTES_MAX},
};
use crate::kinds;

/// How long an export is kept that nobody asks for.
const EXPORT_IDLE: Duration = Duration::from_secs(30);
/// How long a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a page is asked for before the source is given up.
const PAGE_ATTEMPTS: u32 = 4;

/// What a member asks of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PageRequest {
    /// The first page of a state that covers at least an index.
    Open { partition: PartitionId, at_least: LogIndex },
    /// Another page.
    Page { session: u64, number: u64 },
}

/// What it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PageAnswer {
    /// The first page, under which session the others are, and what the state stands for.
    Opened { session: u64, meta: Box<KeptSnapshot>, page: Bytes },
    /// The page.
    Page(Bytes),
    /// There is no such state, or not yet, or not any more: ask again later, or another.
    Later,
}

impl PageRequest {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, codec::CodecError> {
        codec::decode(kinds::PAGE_REQUEST, bytes)
    }

    fn encode(&self) -> Bytes {
        codec::encode(kinds::PAGE_REQUEST, self)
    }
}

impl PageAnswer {
    pub(super) fn encode(&self) -> Bytes {
        codec::encode(kinds::PAGE_ANSWER, self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, codec::CodecError> {
        codec::decode(kinds::PAGE_ANSWER, bytes)
    }
}

/// The states that are being handed out, at most [`EXPORTS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Exports {
    sessions: BTreeMap<u64, Export>,
    last_session: u64,
}

#[derive(Debug)]
struct Export {
    asker: PeerId,
    export: StateExport,
    /// The last page, in case its answer was lost.
    last: (u64, Bytes),
    used: Instant,
}

impl Exports {
    /// Begins to hand out a state.
    ///
    /// # Errors
    /// When the engine cannot be read.
    pub(super) fn open(
        &mut self,
        asker: PeerId,
        meta: SnapshotMeta,
        mut export: StateExport,
    ) -> Result<PageAnswer, StateError> {
        let now = Instant::now();
        self.sessions.retain(|_, e| now.duration_since(e.used) < EXPORT_IDLE && e.asker != asker);
        if self.sessions.len() >= EXPORTS_MAX || export.index() != meta.point.index {
            return Ok(PageAnswer::Later);
        }
        let Some(page) = export.next_page()? else { return Ok(PageAnswer::Later) };
        self.last_session += 1;
        let session = self.last_session;
        let last = (0, page.clone());
        self.sessions.insert(session, Export { asker, export, last, used: now });
        Ok(PageAnswer::Opened { session, meta: Box::new(meta.into()), page })
    }

    /// Another page of it.
    ///
    /// # Errors
    /// When the engine cannot be read.
    pub(super) fn page(
        &mut self,
        asker: PeerId,
        (session, number): (u64, u64),
    ) -> Result<PageAnswer, StateError> {
        let found = self.sessions.get_mut(&session).filter(|export| export.asker == asker);
        let Some(export) = found else { return Ok(PageAnswer::Later) };
        export.used = Instant::now();
        if number == export.last.0 + 1 {
            match export.export.next_page()? {
                Some(page) => export.last = (number, page),
                None => {
                    self.sessions.remove(&session);
                    return Ok(PageAnswer::Later);
                }
            }
        }
        Ok(match number == export.last.0 {
            true => PageAnswer::Page(export.last.1.clone()),
            false => PageAnswer::Later,
        })
    }
}

/// Why a state was not fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The peer did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It has no such state now.
    #[error("the peer has no such state now")]
    Later,
    /// What it sent is no state.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// What it sent does not parse.
    #[error("the answer does not parse: {0}")]
    Malformed(#[from] codec::CodecError),
    /// No thread of its own could be had.
    #[error("no runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Fetches a state from a peer. Blocks until it is here or the peer is given up.
pub(super) fn fetch(
    network: &dyn Transport,
    peer: PeerId,
    (partition, at_least): (PartitionId, LogIndex),
) -> Result<(SnapshotMeta, StateInstall), FetchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let ask = |request: PageRequest| -> Result<PageAnswer, FetchError> {
        let mut attempt = 1;
        loop {
            let request = Request::new(STATE_PAGE, request.encode(), PAGE_TIMEOUT);
            match runtime.block_on(network.call(peer, request)) {
                Ok(answer) => return Ok(PageAnswer::decode(&answer)?),
                Err(error) if error.is_retryable() && attempt < PAGE_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    };
    let PageAnswer::Opened { session, meta, page } =
        ask(PageRequest::Open { partition, at_least })?
    else {
        return Err(FetchError::Later);
    };
    let mut install = StateInstall::new(partition, STATE_BYTES_MAX);
    let (mut page, mut number) = (page, 0);
    while install.take(&page)?.is_none() {
        number += 1;
        page = match ask(PageRequest::Page { session, number })? {
            PageAnswer::Page(page) => page,
            PageAnswer::Opened { .. } | PageAnswer::Later => return Err(FetchError::Later),
        };
    }
    Ok((SnapshotMeta::from(*meta), install))
}
