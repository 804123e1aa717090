//! The subscriptions that one of two collections knows better than the other.

use std::collections::BTreeMap;

use weald_core::Time;

use super::Fork;
use crate::{
    Lease, PageFault, PageMap, Standing, SubscriberId,
    page::{Page, PageRef, Pages, collect},
};

/// Of two entries of one subscription the one that counts: the higher nonce; of equal ones that which
/// ends it, then that which lasts longer. Total, so that every merge decides alike.
#[must_use]
pub fn newer(a: Lease, b: Lease) -> Lease {
    let rank = |lease: &Lease| {
        let is_ended = lease.standing == Standing::Ended;
        let times = (lease.expires_at, lease.subscribed_at);
        (lease.nonce, is_ended, times, lease.last_seen, lease.version, lease.renewals)
    };
    if rank(&a) >= rank(&b) { a } else { b }
}

/// What differs: by id the entry of each side.
type Differing = BTreeMap<SubscriberId, [Option<Lease>; 2]>;

/// What each side lacks.
pub(super) fn compare(
    left: &mut Fork<'_>,
    right: &mut Fork<'_>,
    now: Time,
) -> Result<[Vec<Lease>; 2], PageFault> {
    let at = [left.subscribers.root().copied(), right.subscribers.root().copied()];
    let mut comparison =
        Comparison { pages: [&mut *left.pages, &mut *right.pages], found: Differing::new() };
    comparison.compare(at)?;
    let mut missing = [Vec::new(), Vec::new()];
    for sides in comparison.found.into_values() {
        let best = sides.into_iter().flatten().reduce(newer).filter(|best| best.expires_at > now);
        let Some(best) = best else { continue };
        for (side, missing) in missing.iter_mut().enumerate() {
            if sides[side] != Some(best) {
                missing.push(best);
            }
        }
    }
    Ok(missing)
}

struct Comparison<'p> {
    pages: [&'p mut PageMap; 2],
    found: Differing,
}

impl Comparison<'_> {
    fn compare(&mut self, at: [Option<PageRef<()>>; 2]) -> Result<(), PageFault> {
        let [left, right] = at;
        if left.map(|page| page.cid) == right.map(|page| page.cid) {
            return Ok(());
        }
        let (Some(left), Some(right)) = (left, right) else {
            self.gather(0, left)?;
            return self.gather(1, right);
        };
        let left_page = Pages::<Lease>::load(&mut *self.pages[0], &left)?;
        let right_page = Pages::<Lease>::load(&mut *self.pages[1], &right)?;
        let (Page::Inner { children: mut lefts, .. }, Page::Inner { children: mut rights, .. }) =
            (left_page, right_page)
        else {
            self.gather(0, Some(left))?;
            return self.gather(1, Some(right));
        };
        while let Some(slot) =
            lefts.first().into_iter().chain(rights.first()).map(|(slot, _)| *slot).min()
        {
            let take = |children: &mut Vec<(u8, PageRef<()>)>| {
                let is_here = children.first().is_some_and(|(at, _)| *at == slot);
                is_here.then(|| children.remove(0).1)
            };
            self.compare([take(&mut lefts), take(&mut rights)])?;
        }
        Ok(())
    }

    fn gather(&mut self, side: usize, at: Option<PageRef<()>>) -> Result<(), PageFault> {
        let all: Vec<Lease> = collect(
            &mut *self.pages[side],
            at.as_ref(),
            usize::MAX,
            (|_: &crate::Summary| true, |_: &Lease| true),
        )?;
        for lease in all {
            self.found.entry(lease.id).or_default()[side] = Some(lease);
        }
        Ok(())
    }
}
