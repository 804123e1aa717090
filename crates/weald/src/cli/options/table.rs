//! The table of options.

use std::{fs, time::Duration};

use weald::{Compression, EngineKind, NodeConfig, PeerId, Probe};

use super::Settings;

/// An option.
pub(super) struct Row {
    /// Its name, as the flag has it.
    pub(super) name: &'static str,
    /// What its value is called in the help.
    pub(super) value: &'static str,
    /// One value, many, or yes and no.
    pub(super) shape: Shape,
    /// What holds when nobody says anything.
    pub(super) default: &'static [&'static str],
    /// The option that it follows when nobody says anything, and what comes of that.
    pub(super) follows: Option<(&'static str, Shown)>,
    /// One line that says what it does.
    pub(super) help: &'static str,
    /// Whether all verbs have the flag, and not only those about nodes.
    pub(super) is_global: bool,
    /// Puts the values where they belong, or says what is wrong with them.
    pub(super) set: fn(&mut Settings, &[String]) -> Result<(), String>,
}

/// How many values an option has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One, or none.
    One,
    /// Any number.
    List,
    /// `true` or `false`; nothing behind the flag is `true`.
    Switch,
}

impl Row {
    /// The key in the file.
    pub(super) fn key(&self) -> String {
        self.name.replace('-', "_")
    }

    /// The variable of the environment.
    pub(super) fn variable(&self) -> String {
        format!("WEALD_{}", self.key().to_ascii_uppercase())
    }
}

type Set = fn(&mut Settings, &[String]) -> Result<(), String>;
type Shown = fn(&Settings) -> String;
type Names = (&'static str, &'static str, &'static str);

const fn row(names: Names, shape: Shape, default: &'static [&'static str], set: Set) -> Row {
    let (name, value, help) = names;
    Row { name, value, shape, default, follows: None, help, is_global: false, set }
}

/// All options, in the order in which they are told.
pub(super) const OPTIONS: &[Row] = &[
    Row {
        is_global: true,
        ..row(
            ("data-dir", "DIR", "The directory of the data"),
            Shape::One,
            &["./weald-data"],
            |all, values| one(values).map(|text| all.node.data_dir = text.into()),
        )
    },
    row(
        ("http", "ADDR", "Serve HTTP at this address, or `off`"),
        Shape::One,
        &["127.0.0.1:0"],
        |all, values| http(all, one(values)?),
    ),
    row(
        ("token-file", "FILE", "The file with the token that HTTP callers send"),
        Shape::One,
        &[],
        token,
    ),
    row(
        ("listen", "MULTIADDR", "Listen to peers here"),
        Shape::List,
        &["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"],
        |all, values| list(values, &mut all.node.listen),
    ),
    row(
        ("external", "MULTIADDR", "Tell peers that this node is reached here"),
        Shape::List,
        &[],
        |all, values| list(values, &mut all.node.external),
    ),
    row(
        ("bootstrap", "MULTIADDR", "Join the network of the node at this address"),
        Shape::List,
        &[],
        |all, values| list(values, &mut all.node.bootstrap),
    ),
    row(("network", "NAME", "The name of the network"), Shape::One, &["weald"], |all, values| {
        one(values).map(|text| all.node.network = text.to_owned())
    }),
    row(
        ("init", "BOOL", "Found the network even though there are bootstrap addresses"),
        Shape::Switch,
        &["false"],
        |all, values| switch(values).map(|is_on| all.node.init = is_on),
    ),
    row(
        ("found-after-ms", "MILLIS", "How long a network is looked for before one is founded"),
        Shape::One,
        &["3000"],
        |all, values| number(values).map(|ms| all.node.found_after = Duration::from_millis(ms)),
    ),
    row(
        ("responsibility-k", "N", "Voters of each partition: 1, 3 or 5; read only when founding"),
        Shape::One,
        &["3"],
        |all, values| number(values).map(|number| all.node.responsibility_k = number),
    ),
    row(
        ("partitions", "N", "Partitions of the network; read only when founding"),
        Shape::One,
        &["16"],
        |all, values| number(values).map(|number| all.node.partitions = number),
    ),
    row(
        ("mdns", "BOOL", "Find nodes on the local network"),
        Shape::Switch,
        &["true"],
        |all, values| switch(values).map(|is_on| all.node.mdns = is_on),
    ),
    row(
        ("lookups", "BOOL", "Look for missing nodes in the network's distributed hash table"),
        Shape::Switch,
        &["true"],
        |all, values| switch(values).map(|is_on| all.node.lookups = is_on),
    ),
    row(
        ("serve-relay", "BOOL", "Carry connections for nodes that nobody can dial"),
        Shape::Switch,
        &["false"],
        |all, values| switch(values).map(|is_on| all.node.serve_relay = is_on),
    ),
    row(
        ("relays", "MULTIADDR", "Be reached at one of these relays, nodes of the network"),
        Shape::List,
        &[],
        |all, values| list(values, &mut all.node.relays),
    ),
    row(
        ("probe", "WHOM", "Ask peers whether they can dial this node: off, public or all"),
        Shape::One,
        &["off"],
        |all, values| probe(one(values)?).map(|probe| all.node.probe = probe),
    ),
    row(("allow", "PEER", "Let only these peers connect"), Shape::List, &[], |all, values| {
        peers(&mut all.node.allow, values)
    }),
    row(
        ("administrators", "PEER", "Believe forced recoveries that these peers' keys sign, too"),
        Shape::List,
        &[],
        |all, values| peers(&mut all.node.administrators, values),
    ),
    row(
        ("psk-file", "FILE", "The file with the network's pre-shared key: 64 hexadecimal digits"),
        Shape::One,
        &[],
        |all, values| pre_shared_key(&mut all.node, values),
    ),
    row(
        ("engine", "NAME", "The engine of a new store: redb or rocksdb"),
        Shape::One,
        &["redb"],
        |all, values| engine(one(values)?).map(|engine| all.node.store.engine = engine),
    ),
    row(
        ("compression", "NAME", "Compression of stored blocks: lz4 or off"),
        Shape::One,
        &["lz4"],
        |all, values| compression(one(values)?).map(|kind| all.node.store.compression = kind),
    ),
    row(
        ("memory-bytes", "BYTES", "Bytes of memory that the process is laid out for"),
        Shape::One,
        &["268435456"],
        |all, values| memory(&mut all.node, number(values)?),
    ),
    Row {
        follows: Some(("memory-bytes", |all| all.node.store.cache_bytes.to_string())),
        ..row(
            ("cache-bytes", "BYTES", "Bytes of blocks cached for reading"),
            Shape::One,
            &[],
            |all, values| number(values).map(|bytes| all.node.store.cache_bytes = bytes),
        )
    },
    Row {
        follows: Some(("memory-bytes", |all| all.node.store.dirty_bytes.to_string())),
        ..row(
            ("dirty-bytes", "BYTES", "Bytes that wait for a checkpoint before writers wait"),
            Shape::One,
            &[],
            |all, values| number(values).map(|bytes| all.node.store.dirty_bytes = bytes),
        )
    },
    row(
        ("log-segment-bytes", "BYTES", "Bytes of one segment file of the log"),
        Shape::One,
        &["16777216"],
        |all, values| number(values).map(|bytes| all.node.store.log_segment_bytes = bytes),
    ),
    row(
        ("history-entries", "N", "Log entries for which old versions of blocks are kept"),
        Shape::One,
        &["100000"],
        |all, values| number(values).map(|entries| all.node.store.history_entries = entries),
    ),
    row(
        ("write-timeout-ms", "MILLIS", "How long a write waits for its outcome"),
        Shape::One,
        &["10000"],
        |all, values| {
            number(values).map(|ms| all.node.store.write_timeout = Duration::from_millis(ms))
        },
    ),
    row(
        ("writes-waiting-max", "N", "Writes that wait in the node at once; more are refused"),
        Shape::One,
        &["65536"],
        |all, values| number(values).map(|count| all.node.store.writes_waiting_max = count),
    ),
];

fn one(values: &[String]) -> Result<&str, String> {
    match values {
        [value] if !value.is_empty() => Ok(value),
        [] => Err("a value is needed".to_owned()),
        [_] => Err("the value is empty".to_owned()),
        _ => Err(format!("one value is needed, found {}", values.len())),
    }
}

fn number<T: std::str::FromStr>(values: &[String]) -> Result<T, String> {
    let text = one(values)?;
    text.replace('_', "").parse().map_err(|_| format!("no number in range: {text:?}"))
}

fn memory(node: &mut NodeConfig, bytes: usize) -> Result<(), String> {
    node.store = node.store.clone().with_memory(bytes).map_err(|error| error.to_string())?;
    Ok(())
}

fn switch(values: &[String]) -> Result<bool, String> {
    match one(values)? {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(format!("say true or false, not {other:?}")),
    }
}

fn list(values: &[String], target: &mut Vec<String>) -> Result<(), String> {
    *target = values.to_vec();
    match values.iter().any(String::is_empty) {
        true => Err("an address is empty".to_owned()),
        false => Ok(()),
    }
}

fn http(all: &mut Settings, text: &str) -> Result<(), String> {
    if text == "off" {
        all.http = None;
        return Ok(());
    }
    let address = text.parse().map_err(|_| format!("no IP address with a port: {text:?}"))?;
    if let Some(http) = &mut all.http {
        http.address = address;
    }
    Ok(())
}

fn token(all: &mut Settings, values: &[String]) -> Result<(), String> {
    let Some(path) = values.first() else { return Ok(()) };
    let token = secret(path)?;
    if let Some(http) = &mut all.http {
        http.token = Some(token);
    }
    Ok(())
}

/// The one line of a file that holds a secret.
fn secret(path: &str) -> Result<String, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"))?;
    match text.trim() {
        "" => Err(format!("{path} is empty")),
        line if line.contains(char::is_whitespace) => Err(format!("{path} has more than one word")),
        line => Ok(line.to_owned()),
    }
}

fn peers(into: &mut Vec<PeerId>, values: &[String]) -> Result<(), String> {
    let peer = |text: &String| {
        text.parse::<PeerId>().map_err(|error| format!("no peer id: {text:?}: {error}"))
    };
    *into = values.iter().map(peer).collect::<Result<_, _>>()?;
    Ok(())
}

fn pre_shared_key(node: &mut NodeConfig, values: &[String]) -> Result<(), String> {
    let Some(path) = values.first() else { return Ok(()) };
    let digits = secret(path)?;
    // 32 bytes in the same digits as a peer's id.
    let key: PeerId = digits.parse().map_err(|error| format!("{path} holds no key: {error}"))?;
    node.pre_shared_key = Some(*key.digest().as_bytes());
    Ok(())
}

fn probe(text: &str) -> Result<Probe, String> {
    match text {
        "off" => Ok(Probe::Off),
        "public" => Ok(Probe::Public),
        "all" => Ok(Probe::All),
        other => Err(format!(
            "no peers {other:?}; say off, public, or all to ask those at private addresses, too"
        )),
    }
}

fn engine(text: &str) -> Result<EngineKind, String> {
    match text {
        "redb" => Ok(EngineKind::Redb),
        "rocksdb" => Ok(EngineKind::RocksDb),
        other => Err(format!("no engine {other:?}; say redb or rocksdb")),
    }
}

fn compression(text: &str) -> Result<Compression, String> {
    match text {
        "lz4" => Ok(Compression::Lz4),
        "off" => Ok(Compression::Off),
        other => Err(format!("no compression {other:?}; say lz4 or off")),
    }
}
