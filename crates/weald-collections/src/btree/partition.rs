//! Where an overfull node is cut: arithmetic over the sizes of its items.

/// How a node that overflows is divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fill {
    /// Both halves about equal.
    Even,
    /// All but the last items stay: keys are put in ascending order, so that full nodes are left
    /// behind.
    Append,
}

/// The bounds within which a node is whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes that a node has before its items.
    pub(crate) overhead: usize,
    /// Bytes that a node may have.
    pub(crate) bytes_max: usize,
    /// Items that a node has at least; with less than twice as many it is never cut.
    pub(crate) items_min: usize,
}

/// The positions before which to cut so that each part fits or cannot be cut.
pub(crate) fn cuts(sizes: &[usize], bounds: Bounds, fill: Fill) -> Vec<usize> {
    let mut cuts = Vec::new();
    divide(sizes, 0, bounds, fill, &mut cuts);
    cuts
}

fn divide(sizes: &[usize], offset: usize, bounds: Bounds, fill: Fill, cuts: &mut Vec<usize>) {
    let bytes = bounds.overhead + sizes.iter().sum::<usize>();
    if bytes <= bounds.bytes_max || sizes.len() < 2 * bounds.items_min {
        return;
    }
    let at = match fill {
        Fill::Even => even_cut(sizes, bounds.items_min),
        Fill::Append => sizes.len() - bounds.items_min,
    };
    divide(&sizes[..at], offset, bounds, Fill::Even, cuts);
    cuts.push(offset + at);
    divide(&sizes[at..], offset + at, bounds, Fill::Even, cuts);
}

/// The cut whose larger side is least, with at least `items_min` items on each side.
pub(crate) fn even_cut(sizes: &[usize], items_min: usize) -> usize {
    let total: usize = sizes.iter().sum();
    let mut left = 0;
    let mut best = (usize::MAX, items_min);
    for (at, size) in sizes.iter().enumerate() {
        if (items_min..=sizes.len() - items_min).contains(&at) {
            best = best.min((left.max(total - left), at));
        }
        left += size;
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: Bounds = Bounds { overhead: 0, bytes_max: 100, items_min: 1 };
    const INNER: Bounds = Bounds { overhead: 2, bytes_max: 100, items_min: 2 };

    #[test]
    fn a_node_is_cut_where_its_halves_are_most_equal() {
        let check = |sizes: &[usize], expect: &[usize]| {
            assert_eq!(cuts(sizes, LEAF, Fill::Even), expect, "{sizes:?}");
        };
        check(&[], &[]);
        check(&[100], &[]);
        check(&[500], &[]);
        check(&[50, 50], &[]);
        check(&[50, 51], &[1]);
        check(&[10, 10, 90], &[2]);
        check(&[90, 10, 10], &[1]);
        check(&[50, 90, 50], &[1, 2]);
        check(&[40, 500, 40], &[1, 2]);
        check(&[500, 1], &[1]);
    }

    #[test]
    fn appending_leaves_full_nodes_behind() {
        assert_eq!(cuts(&[30, 30, 30, 30], LEAF, Fill::Append), [3]);
        assert_eq!(cuts(&[30, 30, 30, 30], INNER, Fill::Append), [2]);
        assert_eq!(cuts(&[20, 20, 20, 20, 20], INNER, Fill::Append), [3]);
    }

    #[test]
    fn an_inner_node_keeps_two_children_however_large() {
        assert_eq!(cuts(&[500, 500, 500], INNER, Fill::Even), [0; 0]);
        assert_eq!(cuts(&[500, 500, 500, 500], INNER, Fill::Even), [2]);
    }
}
