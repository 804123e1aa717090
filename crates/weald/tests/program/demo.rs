//! `weald demo`.

use std::fs;

use crate::program::Place;

#[test]
fn d45_ps85_ps1494_ps1805_the_demo_loses_nothing_and_leaves_nothing_behind() {
    let place = Place::new();
    let temporary = place.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let output = place
        .command(&["demo", "--callers", "5", "--transactions", "300"])
        .env("TMPDIR", &temporary)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("lost 0, doubled 0, torn 0"), "{told}");
    assert!(
        told.ends_with("nothing acknowledged was lost, nothing came twice, nothing is torn\n"),
        "{told}"
    );
    assert!(told.contains("messages of the past"), "{told}");
    assert!(told.contains("received by a subscriber that came late"), "{told}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "the demo cleans up");
    assert!(!place.data().exists(), "the demo has a folder of its own");
}

#[test]
fn the_demo_counts_for_scripts() {
    let counts = &Place::new().json(&["demo", "--transactions", "50"])[0];
    assert!(counts["acknowledged"].as_u64().unwrap() >= 50, "{counts}");
    assert!(counts["found"].as_u64() >= counts["acknowledged"].as_u64(), "{counts}");
    assert!(counts["published"].as_u64().unwrap() > 0, "{counts}");
    assert!(counts["received"].as_u64() >= counts["published"].as_u64(), "{counts}");
    for defect in ["lost", "doubled", "torn"] {
        assert_eq!(counts[defect], 0, "{counts}");
    }
}
