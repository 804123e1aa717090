//! The command line of a node.

use std::path::PathBuf;

/// What a node is started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// The words before the program: those that enter a network namespace.
    pub(crate) prefix: Vec<String>,
    pub(crate) program: PathBuf,
    pub(crate) data_dir: PathBuf,
    pub(crate) network: String,
    /// Multiaddresses.
    pub(crate) listen: Vec<String>,
    /// `HOST:PORT`.
    pub(crate) http: String,
    /// Multiaddresses with peers behind them.
    pub(crate) bootstrap: Vec<String>,
    /// Founds the network when it finds none.
    pub(crate) is_init: bool,
    pub(crate) responsibility_k: Option<usize>,
    pub(crate) partition_count: Option<usize>,
    pub(crate) engine: Option<String>,
    /// Whether the distributed hash table is off.
    pub(crate) has_no_lookups: bool,
    /// What it logs, other than warnings.
    pub(crate) log: Option<String>,
    /// What the gateway demands; needed where it does not listen on the loopback.
    pub(crate) token: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    /// Words behind all others.
    pub(crate) more: Vec<String>,
}

impl Arguments {
    /// The program and its arguments.
    pub(crate) fn command_line(&self) -> Vec<String> {
        let mut words = self.prefix.clone();
        words.push(self.program.display().to_string());
        words.push(String::from("node"));
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        option("data-dir", self.data_dir.display().to_string());
        option("network", self.network.clone());
        option("http", self.http.clone());
        self.listen.iter().for_each(|address| option("listen", address.clone()));
        self.bootstrap.iter().for_each(|address| option("bootstrap", address.clone()));
        for (name, count) in
            [("responsibility-k", self.responsibility_k), ("partitions", self.partition_count)]
        {
            count.into_iter().for_each(|count| option(name, count.to_string()));
        }
        self.engine.iter().for_each(|engine| option("engine", engine.clone()));
        self.token_file.iter().for_each(|file| option("token-file", file.display().to_string()));
        words.push(String::from("--mdns=false"));
        if self.has_no_lookups {
            words.push(String::from("--lookups=false"));
        }
        if self.is_init {
            words.push(String::from("--init"));
        }
        words.extend(self.more.iter().cloned());
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_has_what_was_asked_for() {
        let arguments = Arguments {
            prefix: vec!["nsenter".into()],
            program: "/bin/weald".into(),
            data_dir: "/tmp/d".into(),
            network: "mesh".into(),
            http: "127.0.0.1:0".into(),
            bootstrap: vec!["/ip4/1.2.3.4/tcp/5/p2p/P".into()],
            is_init: true,
            responsibility_k: Some(3),
            ..Arguments::default()
        };
        let line = arguments.command_line().join(" ");
        assert!(line.starts_with("nsenter /bin/weald node --data-dir /tmp/d "), "{line}");
        assert!(line.contains(" --bootstrap /ip4/1.2.3.4/tcp/5/p2p/P "), "{line}");
        assert!(line.contains(" --responsibility-k 3"), "{line}");
        assert!(line.ends_with(" --init"), "{line}");
        for absent in ["--engine", "--listen", "--lookups"] {
            assert!(!line.contains(absent), "{line}");
        }
    }
}
