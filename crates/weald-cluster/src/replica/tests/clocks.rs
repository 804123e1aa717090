//! Members whose clocks are wrong for good: what they take, and when (rule C14).

use weald_core::Time;

use super::rig::Rig;
use crate::replica::*;

/// An hour, ms.
const HOUR: u64 = 3_600_000;

/// Three voters, of which `a` coordinates; the clock of `b` is an hour behind the others'.
fn with_one_behind() -> Rig {
    let mut rig = Rig::new("abc", "");
    rig.ahead.extend([('a', HOUR), ('c', HOUR)]);
    rig.elect('a');
    rig.write('a', "x");
    rig
}

/// Between two messages to `b` less has passed for it than between their entries, as where the second
/// was on its way for a shorter time: it takes the entry a little later.
#[test]
fn w125_a_refusal_that_passes_ends_no_coordination() {
    let mut rig = with_one_behind();
    rig.run(200);
    rig.restart('b', Health::Whole);
    rig.run(100);
    rig.cut_off.insert('c');
    let epoch = rig.state('a').epoch();
    let index = rig.write('a', "y");
    assert!(rig.state('a').watermark() < index, "b refuses it for now");
    rig.run(400);
    assert_eq!((rig.leader(), rig.state('a').epoch()), (Some('a'), epoch));
    assert_eq!(rig.state('a').watermark(), index, "it was sent again");
    rig.write('a', "z");
    rig.run(400);
    assert_eq!(rig.commands('b'), ["x", "y", "z"]);
    assert_eq!(rig.state('a').epoch(), epoch);
}

#[test]
fn what_has_passed_since_the_entry_before_a_cut_counts() {
    let mut rig = with_one_behind();
    rig.run(2_000);
    rig.cut_off.insert('c');
    rig.nodes.get_mut(&'a').unwrap().is_disk_slow = true;
    rig.write('a', "lost");
    rig.run(200);
    assert_eq!(rig.commands('b'), ["x", "lost"]);
    rig.restart('a', Health::Whole);
    // The next coordination begins without what `b` has, and needs `b`.
    rig.cut_off = ['b'].into();
    rig.drops = Box::new(|_, envelope| matches!(envelope.message, Message::ReplicateAck(_)));
    rig.elect('a');
    rig.drops = Box::new(|_, _| false);
    rig.cut_off = ['c'].into();
    let (epoch, index) = (rig.state('a').epoch(), rig.state('a').last().index);
    assert!(rig.state('a').watermark() < index);
    rig.run(300);
    assert_eq!((rig.state('a').epoch(), rig.state('a').watermark()), (epoch, index));
    assert_eq!(rig.commands('b'), ["x"]);
}

#[test]
fn r33_log_time_goes_on_from_the_state_where_the_log_is_empty() {
    let mut rig = Rig::new("a", "");
    rig.ahead.insert('a', HOUR);
    rig.elect('a');
    let index = rig.write('a', "x");
    rig.run(300);
    let before = rig.state('a').log_time();
    assert!(before > Time::from_millis(HOUR));
    rig.compact('a', index);
    rig.ahead.clear();
    rig.restart('a', Health::Whole);
    assert_eq!(rig.state('a').entry(index), None, "nothing of the log is left");
    rig.run(300);
    let next = rig.write('a', "y");
    assert!(rig.state('a').entry(next).unwrap().time() >= before, "never below the previous");
}
