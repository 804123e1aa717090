//! Which source holds, and what is refused.

use std::collections::BTreeMap;

use weald::Probe;

use super::{sources::parse_file, *};

fn settings(
    flags: &[(&'static str, &str)],
    variables: &[(&str, &str)],
    file: &str,
) -> Result<Vec<Setting>, Failure> {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let file = (PathBuf::from("w.toml"), parse_file(file, "w.toml")?);
    let mut sources = Sources::new(variables, Some(file))?;
    for (name, value) in flags {
        sources.give(name, vec![(*value).to_owned()]);
    }
    Ok(OPTIONS.iter().map(|row| sources.setting(row)).collect())
}

fn told(result: Result<impl fmt::Debug, Failure>) -> String {
    match result {
        Err(Failure::Told { message, .. }) => message,
        other => panic!("refused: {other:?}"),
    }
}

#[test]
fn defaults_of_the_table_are_those_of_the_library() {
    let all = Settings::of(&settings(&[], &[], "").unwrap()).unwrap();
    assert_eq!(all.node, NodeConfig::default());
    assert_eq!(all.http, Some(GatewayConfig::default()));
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let find = |settings: &[Setting], name| {
        let setting = settings.iter().find(|setting| setting.name == name).unwrap();
        (setting.values.join(","), setting.source.to_string())
    };
    let file = "network = \"file\"\npartitions = 4\nlisten = [\"/ip4/1.2.3.4/tcp/1\", \"/ip4/1.2.3.4/tcp/2\"]\nmdns = false";
    let variables = [("WEALD_NETWORK", "variable"), ("WEALD_PARTITIONS", "8")];
    let found = settings(&[("network", "flag")], &variables, file).unwrap();
    assert_eq!(find(&found, "network"), ("flag".into(), "command line".into()));
    assert_eq!(find(&found, "partitions"), ("8".into(), "environment WEALD_PARTITIONS".into()));
    let listen = ["/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/2"];
    assert_eq!(find(&found, "listen"), (listen.join(","), "file w.toml".into()));
    assert_eq!(find(&found, "engine"), ("redb".into(), "default".into()));
    let all = Settings::of(&found).unwrap();
    assert_eq!(all.node.network, "flag");
    assert_eq!(all.node.partitions, 8);
    assert_eq!(all.node.listen, listen);
    assert!(!all.node.mdns);
}

#[test]
fn d16_the_width_of_replication_is_set_in_each_place() {
    let width = |found: Result<Vec<Setting>, Failure>| {
        Settings::of(&found.unwrap()).unwrap().node.responsibility_k
    };
    assert_eq!(width(settings(&[], &[], "")), 3);
    assert_eq!(width(settings(&[("responsibility-k", "1")], &[], "")), 1);
    assert_eq!(width(settings(&[], &[("WEALD_RESPONSIBILITY_K", "5")], "")), 5);
    assert_eq!(width(settings(&[], &[], "responsibility_k = 5")), 5);
}

#[test]
fn relays_and_asking_are_set_in_each_place() {
    let relay = "/ip4/1.2.3.4/tcp/1/p2p/12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE";
    let network = |found: Result<Vec<Setting>, Failure>| {
        let NodeConfig { serve_relay, relays, probe, .. } =
            Settings::of(&found.unwrap()).unwrap().node;
        (serve_relay, relays, probe)
    };
    let all = (true, vec![relay.to_owned()], Probe::All);
    let file = format!("serve_relay = true\nrelays = [\"{relay}\"]\nprobe = \"all\"");
    assert_eq!(network(settings(&[], &[], &file)), all);
    let variables =
        [("WEALD_SERVE_RELAY", "true"), ("WEALD_RELAYS", relay), ("WEALD_PROBE", "all")];
    assert_eq!(network(settings(&[], &variables, "")), all);
    let flags = [("serve-relay", "true"), ("relays", relay), ("probe", "all")];
    assert_eq!(network(settings(&flags, &[], "")), all);
    // Each goes before the next.
    let found = network(settings(&[("probe", "public")], &[("WEALD_SERVE_RELAY", "false")], &file));
    assert_eq!(found, (false, vec![relay.to_owned()], Probe::Public));
}

#[test]
fn state_and_caches_follow_the_memory_unless_somebody_says_otherwise() {
    const MIB: usize = 1 << 20;
    let shares = |flags: &[(&'static str, &str)]| {
        let found = settled(settings(flags, &[], "memory_bytes = 335544320").unwrap());
        let store = Settings::of(&found).unwrap().node.store;
        let told = |name| {
            let setting = found.iter().find(|setting| setting.name == name).unwrap();
            (setting.values.join(","), setting.source.to_string())
        };
        ((store.cache_bytes, store.dirty_bytes), told("cache-bytes"), told("dirty-bytes"))
    };
    let follows = |bytes: usize| (bytes.to_string(), "follows memory-bytes".to_owned());
    assert_eq!(shares(&[]), ((80 * MIB, 80 * MIB), follows(80 * MIB), follows(80 * MIB)));
    let said = ("1048576".to_owned(), "command line".to_owned());
    let expect = ((MIB, 80 * MIB), said, follows(80 * MIB));
    assert_eq!(shares(&[("cache-bytes", "1048576")]), expect);
    let follows = follows(16 * MIB);
    let expect = ((16 * MIB, 16 * MIB), follows.clone(), follows);
    assert_eq!(shares(&[("memory-bytes", "201_326_592")]), expect, "the least");
    let nothing = settled(settings(&[], &[], "cache_bytes = []").unwrap());
    assert!(told(Settings::of(&nothing)).contains("cache-bytes (file w.toml): a value is needed"));
}

#[test]
fn an_unknown_name_is_refused_and_the_nearest_named() {
    assert!(told(settings(&[], &[], "lisen = 1")).contains("did you mean listen?"));
    assert!(told(settings(&[], &[("WEALD_HTP", "x")], "")).contains("did you mean WEALD_HTTP?"));
    assert!(told(settings(&[], &[], "colour = 1")).contains("weald node --help"));
    assert!(told(settings(&[], &[], "listen = [[1]]")).contains("listen is neither"));
    assert!(told(settings(&[], &[], "listen = ")).contains("no TOML"));
    settings(&[], &[("WEALD_LOG", "debug"), ("WEALD_NODE", "http://x")], "").unwrap();
}

#[test]
fn a_wrong_value_is_told_with_its_place() {
    let wrong = |name: &'static str, value: &str, what: &str| {
        let message = told(Settings::of(&settings(&[(name, value)], &[], "").unwrap()));
        assert!(message.contains(what), "{name}={value}: {message}");
    };
    wrong("http", "localhost", "http (command line): no IP address");
    wrong("partitions", "many", "no number");
    wrong("partitions", "-1", "no number");
    wrong("responsibility-k", "2", "1, 3 or 5");
    wrong("mdns", "yes", "true or false");
    wrong("probe", "yes", "off, public, or all");
    wrong("serve-relay", "maybe", "true or false");
    wrong("serve-relay", "true", "serve_relay needs external");
    wrong("relays", "/ip4/127.0.0.1/tcp/1", "end with the relay's peer");
    wrong("memory-bytes", "201326591", "memory_bytes must be at least 192 MiB");
    wrong("cache-bytes", "", "empty");
    wrong("engine", "lmdb", "redb or rocksdb");
    wrong("allow", "somebody", "no peer id");
    wrong("psk-file", "/no/such/file", "cannot be read");
    wrong("token-file", "/no/such/file", "cannot be read");
    wrong("network", "", "empty");
    wrong("listen", "", "empty");
}

#[test]
fn http_may_be_off() {
    let all = Settings::of(&settings(&[("http", "off")], &[], "").unwrap()).unwrap();
    assert_eq!(all.http, None);
}
