//! The examples, as their pages say to run them: a chat of two processes, and a directory of topics.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

/// How long a line may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// An example. It stands beside the program: whoever builds the tests of the crate builds both.
fn example(name: &str) -> Command {
    let folder = Path::new(env!("CARGO_BIN_EXE_weald")).parent().unwrap().join("examples");
    let path = folder.join(name);
    assert!(path.exists(), "not built: cargo build -p weald --example {name}");
    Command::new(path)
}

/// One who chats.
struct Chat {
    process: Child,
    lines: Receiver<String>,
}

impl Chat {
    fn start(arguments: &[&str]) -> Self {
        let mut command = example("chat");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (told, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        thread::spawn(move || {
            // Who has seen enough does not listen to the end.
            output.lines().map_while(Result::ok).try_for_each(|line| told.send(line)).ok();
        });
        Self { process, lines }
    }

    fn say(&mut self, line: &str) {
        let input = self.process.stdin.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line that begins so, without that.
    fn hear(&self, beginning: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("nobody says {beginning:?}"));
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    /// Ends the input; how the process ends.
    fn leave(mut self) -> Option<i32> {
        drop(self.process.stdin.take());
        self.process.wait().unwrap().code()
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn ps1586_two_processes_chat_and_who_comes_late_hears_what_was_said() {
    let mut ada = Chat::start(&["Ada"]);
    let address = ada.hear("# others join with --bootstrap ");
    ada.say("is anybody here?");
    assert_eq!(ada.hear("Ada: "), "is anybody here?");
    let mut bo = Chat::start(&["Bo", "--bootstrap", &address]);
    assert_eq!(bo.hear("Ada: "), "is anybody here?");
    bo.say("I am");
    assert_eq!(ada.hear("Bo: "), "I am");
    assert_eq!(bo.hear("Bo: "), "I am");
    ada.say("welcome");
    assert_eq!(bo.hear("Ada: "), "welcome");
    assert_eq!(bo.leave(), Some(0));
    assert_eq!(ada.leave(), Some(0));
}

#[test]
fn ps1758_topics_are_found_in_a_directory_that_the_application_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let ended = example("directory").arg(folder.path()).args(words).output().unwrap();
        (ended.status.success(), String::from_utf8(ended.stdout).unwrap())
    };
    let quiet = (true, String::new());
    let (shop, about) = ("shop/news", "what is new in the shop");
    assert_eq!(run(&["announce", shop, about]), quiet);
    assert_eq!(run(&["announce", "weather", "rain or shine"]), quiet);
    assert_eq!(run(&["publish", shop, "apples are in"]), quiet);
    assert_eq!(run(&["find", "shop"]), (true, format!("{shop}\t{about}\n")));
    assert_eq!(run(&["find", "rain"]), (true, "weather\train or shine\n".to_owned()));
    assert_eq!(run(&["read", shop]), (true, "apples are in\n".to_owned()));
    assert!(!run(&["publish", "shop/nwes", "pears are in"]).0, "nobody has announced it");
    assert!(!run(&["read", "shop/nwes"]).0);
}
