//! A data directory that another process has, that a newer program made, or whose bits rot.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use weald::{Config, Weald};

use crate::program::{Ended, Place, command};

/// Offsets in the middle of each file, besides its beginning and end.
const RANDOM_OFFSETS: usize = 10;

#[test]
fn d57_a_directory_that_another_process_has_is_refused() {
    let place = Place::new();
    place.prints(&["tree", "put", "t", "k", "v"]);
    let mut holder = place
        .command(&["tree", "watch", "t"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let output = holder.stdout.as_mut().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut first).unwrap();
    assert!(first.contains("put\tk\tv"), "{first}");
    for arguments in [&["tree", "get", "t", "k"][..], &["tree", "put", "t", "k", "w"], &["verify"]]
    {
        place.run(arguments).refused(5, "another process");
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(place.prints(&["tree", "get", "t", "k"]), "v\n", "the lock dies with its process");
}

#[test]
fn d57_a_newer_format_is_refused_with_both_versions_and_left_as_it_is() {
    let place = Place::new();
    place.prints(&["tree", "put", "t", "k", "v"]);
    let header = place.data().join("weald.store");
    let mut bytes = fs::read(&header).unwrap();
    let supported = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
    let newer = supported + 41;
    bytes[8..12].copy_from_slice(&newer.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..12]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    fs::write(&header, &bytes).unwrap();
    let before = contents(&place.data());
    for arguments in [&["tree", "get", "t", "k"][..], &["tree", "put", "t", "k", "w"], &["verify"]]
    {
        let ended = place.run(arguments);
        ended.refused(5, &format!("format {newer}"));
        ended.refused(5, &format!("format {supported}"));
    }
    assert_eq!(contents(&place.data()), before);
}

/// Two files have bytes that hold nothing: the engine's, in pages that later ones replaced, and the
/// last segment of the log, which is prepared but not in use and is filled anew by the opening. A
/// flip there is found or harmless, which is shown: everything that can be read is as before.
#[test]
fn a34_a_bit_flipped_in_any_file_is_found_by_verify() {
    let place = Place::new();
    fill(&place.data());
    let export = exported(&place.data());
    let files = files(&place.data());
    assert!(files.len() >= 4, "header, identity, log and engine have files: {files:?}");
    assert!(segments(&files).len() >= 2, "one segment is in use and one is prepared: {files:?}");
    assert!(place.prints(&["verify"]).ends_with("everything is intact\n"));
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut missed, mut found_in_engine) = (Vec::new(), 0);
    for file in &files {
        let is_engine = file.parent().is_some_and(|folder| folder.ends_with("engine"));
        let has_slack = is_engine || Some(file) == segments(&files).last().copied();
        let len = fs::metadata(file).unwrap().len();
        for (offset, bit) in flips(len, is_engine, &mut random) {
            let copy = Flipped::new(&place, file, offset, bit);
            match copy.verify() {
                Ok(()) if is_engine => found_in_engine += 1,
                Ok(()) => {}
                Err(_) if has_slack && exported(&copy.0) == export => {}
                Err(what) => missed.push(format!("{} {offset} {bit}: {what}", file.display())),
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(found_in_engine >= 5, "the pages in use are found: {found_in_engine}");
}

fn segments(files: &[PathBuf]) -> Vec<&PathBuf> {
    files.iter().filter(|file| file.extension().is_some_and(|end| end == "seg")).collect()
}

fn exported(data: &Path) -> String {
    let ended = Ended::of(&mut command(data, &["export"]));
    format!("{} {}", ended.code, ended.stdout)
}

/// Two trees and a diary, some of it in the engine and some only in the log.
fn fill(directory: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config = Config {
            log_segment_bytes: 1 << 20,
            checkpoint_interval: Duration::from_secs(3600),
            ..Config::default()
        };
        let node = Weald::builder().config(config).open(directory).await.unwrap();
        let tree = node.raw_tree("t").create().await.unwrap();
        let diary = node.raw_diary("d").create().await.unwrap();
        for round in 0..40_u32 {
            let pairs =
                (0..50_u32).map(|n| (format!("{round}-{n}"), Some(format!("{n}").repeat(20))));
            tree.batch(pairs).await.unwrap();
            diary.append(vec![b'x'; 500]).await.unwrap();
            if round == 30 {
                node.checkpoint().await.unwrap();
            }
        }
        // Dropped without a checkpoint: the log still holds the last rounds.
        drop(node);
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// A copy of the database with one bit flipped; removed when dropped.
struct Flipped(PathBuf, String);

impl Flipped {
    fn new(place: &Place, file: &Path, offset: u64, bit: u8) -> Self {
        let copy = place.path("copy");
        copy_folder(&place.data(), &copy);
        let flipped = copy.join(file.strip_prefix(place.data()).unwrap());
        let mut bytes = fs::read(&flipped).unwrap();
        bytes[usize::try_from(offset).unwrap()] ^= bit;
        fs::write(&flipped, bytes).unwrap();
        Self(copy, flipped.file_name().unwrap().to_str().unwrap().to_owned())
    }

    /// Whether `weald verify` ends with 5 and names the place.
    fn verify(&self) -> Result<(), String> {
        let ended = Ended::of(&mut command(&self.0, &["verify"]));
        let told = format!("{}{}", ended.stdout, ended.stderr);
        let is_named = [&self.1, "block", "page="].iter().any(|name| told.contains(*name));
        match ended.code {
            5 if is_named && !told.contains("panicked") => Ok(()),
            code => Err(format!("exit_code={code} told={told:?}")),
        }
    }
}

impl Drop for Flipped {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Places and bits: the beginning, the end, random places between; in the engine's file a random
/// place in each page, up to 48 pages.
fn flips(len: u64, is_engine: bool, random: &mut u64) -> Vec<(u64, u8)> {
    let mut draw = |bound: u64| {
        *random ^= *random >> 12;
        *random ^= *random << 25;
        *random ^= *random >> 27;
        *random % bound.max(1)
    };
    let mut offsets = vec![0, 9, 20, len / 2, len.saturating_sub(1)];
    offsets.extend((0..RANDOM_OFFSETS).map(|_| draw(len)));
    if is_engine {
        let pages = len.div_ceil(4096);
        let step = usize::try_from(pages.div_ceil(48)).unwrap();
        offsets.extend((0..pages).step_by(step).map(|page| page * 4096 + draw(4096)));
    }
    offsets.retain(|offset| *offset < len);
    offsets.into_iter().map(|offset| (offset, 1 << draw(8))).collect()
}

/// Every file that has bytes, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else if entry.metadata().unwrap().len() > 0 {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files(folder).into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
