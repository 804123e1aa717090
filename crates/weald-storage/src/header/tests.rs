//! What opens, what is refused, and that nothing is lost by trying.

use std::process::{Command, Stdio};
use std::{env, fs};

use super::*;

fn header() -> StoreHeader {
    StoreHeader {
        node: PeerId::from_digest(Digest::from_bytes([3; 32])),
        store: StoreId([7; 16]),
        engine: EngineKind::Redb,
        partition_count: 1,
        created_at: Time::from_millis(1_700_000_000_000),
    }
}

fn never() -> StoreHeader {
    panic!("a header must not be made here")
}

/// A folder with a header, and the header file.
fn store() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    StoreFolder::open(folder.path(), header).unwrap();
    let file = folder.path().join(HEADER_FILE);
    (folder, file)
}

#[test]
fn d57_a_header_is_made_once_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep").join("store");
    let made = StoreFolder::open(&path, header).unwrap();
    assert!(made.is_new());
    drop(made);
    let opened = StoreFolder::open(&path, never).unwrap();
    assert!(!opened.is_new());
    assert_eq!(opened.header(), &header());
    assert_eq!(opened.path(), path);
}

#[test]
fn d57_the_bytes_of_a_header_are_these() {
    let hex: String = encode(&header()).iter().map(|byte| format!("{byte:02x}")).collect();
    let expect = [
        "7765616c64206462",
        "01000000",
        "4910c1dd",
        &"03".repeat(32),
        &"07".repeat(16),
        "01",
        "01000000",
        "0068e5cf8b010000",
        "80df180f",
    ]
    .concat();
    assert_eq!(hex, expect);
}

#[test]
fn d57_a_newer_format_is_refused_with_both_versions_printed() {
    let (folder, file) = store();
    // A later version may have another length and another body; only the prefix is fixed.
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(FORMAT_VERSION + 6).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes.extend_from_slice(b"something else entirely");
    fs::write(&file, &bytes).unwrap();
    let refused = StoreFolder::open(folder.path(), never).unwrap_err();
    assert!(matches!(refused, StoreFolderError::NewerFormat { found: 7, supported: 1, .. }));
    let text = refused.to_string();
    assert!(text.contains("format 7") && text.contains("format 1"), "{text}");
    assert_eq!(fs::read(&file).unwrap(), bytes, "nothing was changed");
}

#[test]
fn d57_an_older_format_is_refused_and_kept() {
    let (folder, file) = store();
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&0_u32.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    fs::write(&file, &bytes).unwrap();
    let refused = StoreFolder::open(folder.path(), never).unwrap_err();
    assert!(matches!(refused, StoreFolderError::OlderFormat { found: 0, .. }), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

#[test]
fn d57_every_damaged_bit_and_length_is_an_error_and_the_file_stays() {
    let (folder, file) = store();
    let good = fs::read(&file).unwrap();
    let flipped = (0..good.len() * 8).map(|bit| {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    let cut = (0..good.len()).map(|length| good[..length].to_vec());
    let grown = std::iter::once([&good[..], &[0]].concat());
    for bytes in flipped.chain(cut).chain(grown) {
        fs::write(&file, &bytes).unwrap();
        let refused = StoreFolder::open(folder.path(), never).unwrap_err();
        assert!(matches!(refused, StoreFolderError::Damaged { .. }), "{refused}");
        assert_eq!(fs::read(&file).unwrap(), bytes);
    }
}

#[test]
fn d57_a_lost_header_is_never_made_anew_over_data() {
    let (folder, file) = store();
    fs::remove_file(&file).unwrap();
    fs::create_dir(folder.path().join("engine")).unwrap();
    let refused = StoreFolder::open(folder.path(), never).unwrap_err();
    assert!(matches!(refused, StoreFolderError::NotAStore { .. }), "{refused}");
    assert!(!file.exists());
}

#[test]
fn d57_an_identity_and_what_a_crash_left_do_not_hinder_a_new_store() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["LOCK", "identity.key", "weald.store.tmp"] {
        fs::write(folder.path().join(file), b"x").unwrap();
    }
    assert!(StoreFolder::open(folder.path(), header).unwrap().is_new());
}

#[test]
fn d57_a_second_handle_is_refused_by_the_name_of_the_folder() {
    let (folder, _) = store();
    let first = StoreFolder::open(folder.path(), never).unwrap();
    let refused = StoreFolder::open(folder.path(), never).unwrap_err();
    assert!(matches!(refused, StoreFolderError::Locked { .. }), "{refused}");
    assert!(refused.is_retryable());
    assert!(refused.to_string().contains(&folder.path().display().to_string()), "{refused}");
    drop(first);
    StoreFolder::open(folder.path(), never).unwrap();
}

/// Runs itself as the second process; the variable tells the two roles apart.
#[test]
fn d57_a_second_process_is_refused_until_the_first_dies() {
    const ROLE: &str = "WEALD_STORE_FOLDER_OF_PARENT";
    if let Some(folder) = env::var_os(ROLE) {
        let _held = StoreFolder::open(Path::new(&folder), never).unwrap();
        println!("held");
        // Ends when the parent kills it.
        let _ = io::stdin().read_line(&mut String::new());
        std::process::abort();
    }
    let (folder, _) = store();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("header::tests::d57_a_second_process_is_refused_until_the_first_dies")
        .env(ROLE, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = io::BufReader::new(child.stdout.take().unwrap());
    let held = io::BufRead::lines(output).any(|line| line.unwrap().contains("held"));
    assert!(held, "the child took the lock");
    let refused = StoreFolder::open(folder.path(), never).unwrap_err();
    assert!(matches!(refused, StoreFolderError::Locked { .. }), "{refused}");
    child.kill().unwrap();
    child.wait().unwrap();
    StoreFolder::open(folder.path(), never).unwrap();
}
