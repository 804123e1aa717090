//! Subscriptions: leases that their subscribers sign for.

use weald_collections::Stop;
use weald_core::{PeerId, Time};

use super::{LeaseAnswer, books::OpenTopic, refused};
use crate::{
    Bucket, Lease, Signed, Standing, SubscriberId, TopicRefusal, TopicVersion,
    limits::{PEER_LEASES_MAX, PRUNE_STEP},
    signed::{LeaseAction, LeaseRequest},
};

impl OpenTopic<'_, '_, '_> {
    /// Begins, prolongs or ends a subscription.
    pub(crate) fn lease(&mut self, signed: &Signed<LeaseRequest>) -> Result<LeaseAnswer, Stop> {
        self.check_active()?;
        let now = self.now();
        let peer = signed.verify(&self.address, now).map_err(refused)?;
        self.prune_leases(PRUNE_STEP)?;
        let id = SubscriberId { peer, stream: signed.request.stream };
        let subscribers = self.books.subscribers;
        let found = subscribers.get(&mut self.pages(), &id)?;
        if let Some(lease) = found.filter(|lease| is_repeat(lease, &signed.request)) {
            return Ok(self.lease_answer(&lease));
        }
        let highest = found.map_or(0, |lease| lease.nonce);
        if signed.request.nonce <= highest {
            return Err(refused(TopicRefusal::StaleNonce { highest }));
        }
        let live = found.filter(|lease| lease.standing == Standing::Live);
        let lease = match (signed.request.action, live) {
            (LeaseAction::Subscribe, _) => self.begun(id, &signed.request, found)?,
            (LeaseAction::Renew, Some(lease)) => self.renewed(lease, &signed.request)?,
            (LeaseAction::Unsubscribe, Some(lease)) => ended(lease, &signed.request),
            (_, None) => return Err(refused(TopicRefusal::NotSubscribed)),
        };
        let lease = self.put_lease(lease, live.is_some())?;
        Ok(LeaseAnswer { version: lease.version, ..self.lease_answer(&lease) })
    }

    fn lease_answer(&self, lease: &Lease) -> LeaseAnswer {
        let (version, next) = (self.head.subscribers.version, self.head.next);
        LeaseAnswer { version, expires_at: lease.expires_at, next }
    }

    fn check_until(&self, expires_at: Time) -> Result<(), Stop> {
        let (from, to) = (self.now(), self.now().after(self.policy.lease_max));
        if from < expires_at && expires_at <= to {
            return Ok(());
        }
        Err(refused(TopicRefusal::Expiry { expires_at, from, to }))
    }

    fn begun(
        &mut self,
        id: SubscriberId,
        request: &LeaseRequest,
        found: Option<Lease>,
    ) -> Result<Lease, Stop> {
        if !self.policy.subscribers.allows(&id.peer) {
            return Err(refused(TopicRefusal::Denied));
        }
        self.check_until(request.expires_at)?;
        if let Some(full) = self.full(id.peer, found, Standing::Live)? {
            return Err(refused(full));
        }
        let now = self.now();
        let renewals = self.turn_taken(found.map(|lease| lease.renewals).unwrap_or_default())?;
        Ok(Lease {
            id,
            version: TopicVersion::ZERO,
            subscribed_at: now,
            // An end never comes earlier, so that the nonce is remembered as long as it must be.
            expires_at: found.map_or(request.expires_at, |l| l.expires_at.max(request.expires_at)),
            nonce: request.nonce,
            last_seen: request.last_seen,
            standing: Standing::Live,
            renewals,
        })
    }

    /// What there is no room for, if a lease of `peer` is to become one of this standing.
    pub(super) fn full(
        &mut self,
        peer: PeerId,
        found: Option<Lease>,
        standing: Standing,
    ) -> Result<Option<TopicRefusal>, Stop> {
        let was_live = found.is_some_and(|found| found.standing == Standing::Live);
        let max = self.policy.subscribers_max;
        if standing == Standing::Live && !was_live && self.books.live >= max {
            return Ok(Some(TopicRefusal::Full { what: "subscribers".into(), max }));
        }
        if found.is_some() {
            return Ok(None);
        }
        let subscribers = self.books.subscribers;
        let own = subscribers.of_peer(&mut self.pages(), peer)?.len();
        let max = PEER_LEASES_MAX as u64;
        let what = "leases of the peer".into();
        Ok((own >= PEER_LEASES_MAX).then_some(TopicRefusal::Full { what, max }))
    }

    fn renewed(&self, lease: Lease, request: &LeaseRequest) -> Result<Lease, Stop> {
        self.check_until(request.expires_at)?;
        Ok(Lease {
            expires_at: lease.expires_at.max(request.expires_at),
            nonce: request.nonce,
            last_seen: lease.last_seen.max(request.last_seen),
            renewals: self.turn_taken(lease.renewals)?,
            ..lease
        })
    }

    fn turn_taken(&self, mut bucket: Bucket) -> Result<Bucket, Stop> {
        if bucket.take(self.policy.renew_rate, self.now()) {
            return Ok(bucket);
        }
        Err(refused(TopicRefusal::RateLimited))
    }

    /// Writes a lease under the next version; `was_live` tells whether its subscription counted before.
    pub(super) fn put_lease(&mut self, lease: Lease, was_live: bool) -> Result<Lease, Stop> {
        let lease = Lease { version: self.head.subscribers.version.next(), ..lease };
        let subscribers = self.books.subscribers;
        self.books.subscribers = subscribers.put(&mut self.pages(), lease)?;
        match (was_live, lease.standing) {
            (false, Standing::Live) => self.books.live += 1,
            (true, Standing::Ended) => self.books.live = self.books.live.saturating_sub(1),
            _ => {}
        }
        Ok(lease)
    }
}

/// Whether `request` is the one that last wrote `lease`.
fn is_repeat(lease: &Lease, request: &LeaseRequest) -> bool {
    let standing = match request.action {
        LeaseAction::Subscribe | LeaseAction::Renew => Standing::Live,
        LeaseAction::Unsubscribe => Standing::Ended,
    };
    lease.nonce == request.nonce && lease.standing == standing
}

fn ended(lease: Lease, request: &LeaseRequest) -> Lease {
    let last_seen = lease.last_seen.max(request.last_seen);
    Lease { standing: Standing::Ended, nonce: request.nonce, last_seen, ..lease }
}
