//! Walking over the pages of a collection, past what the summaries rule out.

use super::{Page, PageEntry, PageRef, Pages, Summary};

/// Which entries a walk gathers.
pub(crate) struct Wanted<S, P> {
    /// Whether there may be some below a page with this summary.
    pub(crate) below: S,
    /// Whether this entry is one.
    pub(crate) is_picked: P,
}

/// Up to `limit` entries in order that `below` and `is_picked` want.
pub(crate) fn collect<E: PageEntry, P: Pages<E> + ?Sized>(
    pages: &mut P,
    root: Option<&PageRef<P::Link>>,
    limit: usize,
    (below, is_picked): (impl Fn(&Summary) -> bool, impl Fn(&E) -> bool),
) -> Result<Vec<E>, P::Error> {
    let mut found = Vec::new();
    let wanted = Wanted { below, is_picked };
    if let Some(root) = root.filter(|root| (wanted.below)(&root.summary)) {
        gather(pages, root, limit, &wanted, &mut found)?;
    }
    Ok(found)
}

fn gather<E: PageEntry, P: Pages<E> + ?Sized>(
    pages: &mut P,
    at: &PageRef<P::Link>,
    limit: usize,
    wanted: &Wanted<impl Fn(&Summary) -> bool, impl Fn(&E) -> bool>,
    found: &mut Vec<E>,
) -> Result<(), P::Error> {
    if found.len() >= limit {
        return Ok(());
    }
    match pages.load(at)? {
        Page::Leaf(entries) => {
            let room = limit - found.len();
            found.extend(entries.into_iter().filter(|entry| (wanted.is_picked)(entry)).take(room));
        }
        Page::Inner { children, .. } => {
            for (_, child) in children.iter().filter(|(_, child)| (wanted.below)(&child.summary)) {
                gather(pages, child, limit, wanted, found)?;
            }
        }
    }
    Ok(())
}

/// Visits each page from the root down.
pub(crate) fn for_each_page<E: PageEntry, P: Pages<E> + ?Sized>(
    pages: &mut P,
    root: Option<&PageRef<P::Link>>,
    visit: &mut impl FnMut(&PageRef<P::Link>, &Page<E, P::Link>),
) -> Result<(), P::Error> {
    let Some(at) = root else { return Ok(()) };
    let page = pages.load(at)?;
    visit(at, &page);
    if let Page::Inner { children, .. } = &page {
        for (_, child) in children {
            for_each_page(pages, Some(child), visit)?;
        }
    }
    Ok(())
}
