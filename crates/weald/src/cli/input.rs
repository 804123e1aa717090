//! Values that the user hands in: as an argument, from standard input or from a file.

use std::{
    fs,
    io::{self, BufRead, Read},
    path::PathBuf,
};

use clap::Args;

use super::failure::Failure;

/// Where a value comes from.
#[derive(Args, Clone, Debug)]
pub(crate) struct ValueInput {
    /// The value; `-` reads it from standard input
    #[arg(value_name = "VALUE", allow_hyphen_values = true, required_unless_present = "file")]
    value: Option<String>,
    /// Read the value from this file
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    file: Option<PathBuf>,
}

impl ValueInput {
    /// The file to read lines from; `-` for standard input.
    pub(crate) fn path(&self) -> Result<String, Failure> {
        let file = self.file.as_deref().and_then(|path| path.to_str());
        let path = file.or(self.value.as_deref());
        path.map(str::to_owned).ok_or_else(|| Failure::usage("name a file, or `-`"))
    }

    /// The bytes of the value.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Failure> {
        if let Some(path) = &self.file {
            return fs::read(path).map_err(|error| {
                Failure::usage(format_args!("the file {} cannot be read: {error}", path.display()))
            });
        }
        match self.value.as_deref() {
            Some("-") => {
                let mut bytes = Vec::new();
                io::stdin().lock().read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
                Ok(bytes)
            }
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => Err(Failure::usage("a value is needed: give it, `-` or --file FILE")),
        }
    }
}

/// The lines of a file, or of standard input for `-`, without their line ends.
pub(crate) fn lines(
    path: &str,
) -> Result<Box<dyn Iterator<Item = io::Result<Vec<u8>>> + Send>, Failure> {
    if path == "-" {
        return Ok(Box::new(split_lines(io::BufReader::new(io::stdin()))));
    }
    let file = fs::File::open(path)
        .map_err(|error| Failure::usage(format_args!("{path} cannot be read: {error}")))?;
    Ok(Box::new(split_lines(io::BufReader::new(file))))
}

/// Reading the input failed half way.
pub(crate) fn unreadable(error: &io::Error) -> Failure {
    Failure::usage(format_args!("the input cannot be read: {error}"))
}

fn split_lines(reader: impl BufRead) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    reader.split(b'\n').map(|line| {
        line.map(|mut bytes| {
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
            bytes
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_ends_and_nothing_else() {
        let lines: io::Result<Vec<Vec<u8>>> = split_lines(&b"a\r\n\nb \nc"[..]).collect();
        assert_eq!(lines.unwrap(), [b"a".to_vec(), b"".to_vec(), b"b ".to_vec(), b"c".to_vec()]);
    }
}
