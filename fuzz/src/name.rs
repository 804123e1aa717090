//! Names of collections and types, as users type them.

use std::str;

use weald_core::{CollectionName, PlacementKey, TypeName};

/// Parses `data` as both kinds of name.
pub fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(name) = text.parse::<CollectionName>() {
        assert_eq!(name.as_str(), text);
        assert!(!name.group().is_empty() && text.starts_with(name.group()));
        let group: CollectionName = name.group().parse().expect("a group is a name by itself");
        assert_eq!(
            PlacementKey::of(&name),
            PlacementKey::of(&group),
            "names of one group have one place"
        );
    }
    if let Ok(name) = text.parse::<TypeName>() {
        assert_eq!(name.to_string(), text);
    }
}
