//! The node's identity in a file.
//!
//! The file holds what [`Identity::seal`] made, with mode 0600. A file that others may read is not
//! used: whoever has the bytes is the node.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use weald_core::Entropy;
use weald_core::identity::{Identity, KeyError, KeyStore, PublicKey, Signature};
use zeroize::Zeroizing;

use crate::atomic_file::{self, Access};

/// A sealed identity has about 120 bytes; anything longer is another file.
const FILE_LEN_MAX: u64 = 4096;

/// Why an identity's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileKeyError {
    /// There is no file.
    #[error("there is no identity file path={}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There is one already, and an identity is never overwritten.
    #[error("there is an identity already and it was not overwritten path={}", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner may read or write it.
    #[error(
        "others may read or write the identity file; run `chmod 600` on it, and make a new \
         identity if somebody did path={} mode={mode:03o}", path.display()
    )]
    TooWide {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The bytes or the passphrase are wrong.
    #[error("cannot open the identity path={}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: KeyError,
    },
    /// Reading or writing failed.
    #[error("identity file i/o failed path={}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// An identity kept in a file, with its key in memory while this lives.
#[derive(Debug)]
pub struct FileKeyStore {
    path: PathBuf,
    identity: Identity,
}

impl FileKeyStore {
    /// Saves `identity` to the new file `path`, sealed if a passphrase is given.
    ///
    /// # Errors
    /// [`FileKeyError::Exists`], [`FileKeyError::Io`].
    pub fn create(
        path: &Path,
        identity: Identity,
        passphrase: Option<&str>,
        entropy: &mut impl Entropy,
    ) -> Result<Self, FileKeyError> {
        let failed = |source| FileKeyError::Io { path: path.to_owned(), source };
        if path.try_exists().map_err(failed)? {
            return Err(FileKeyError::Exists { path: path.to_owned() });
        }
        let bytes = identity.seal(passphrase, entropy);
        atomic_file::write(path, &bytes, Access::Private).map_err(failed)?;
        Ok(Self { path: path.to_owned(), identity })
    }

    /// Reads the identity in the file `path`.
    ///
    /// # Errors
    /// [`FileKeyError::Missing`], [`FileKeyError::TooWide`], [`FileKeyError::Key`],
    /// [`FileKeyError::Io`].
    pub fn load(path: &Path, passphrase: Option<&str>) -> Result<Self, FileKeyError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => FileKeyError::Missing { path: path.to_owned() },
            _ => FileKeyError::Io { path: path.to_owned(), source },
        };
        let file = File::open(path).map_err(failed)?;
        refuse_wide(path, &file.metadata().map_err(failed)?)?;
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(FILE_LEN_MAX).read_to_end(&mut bytes).map_err(failed)?;
        let identity = Identity::open(&bytes, passphrase)
            .map_err(|source| FileKeyError::Key { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), identity })
    }

    /// Reads the identity in the file `path`, or makes one and saves it there.
    ///
    /// # Errors
    /// As [`FileKeyStore::load`], but a missing file is made.
    pub fn load_or_create(
        path: &Path,
        passphrase: Option<&str>,
        entropy: &mut impl Entropy,
    ) -> Result<Self, FileKeyError> {
        match Self::load(path, passphrase) {
            Err(FileKeyError::Missing { .. }) => {
                let identity = Identity::generate(entropy);
                Self::create(path, identity, passphrase, entropy)
            }
            loaded => loaded,
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl KeyStore for FileKeyStore {
    fn public(&self) -> PublicKey {
        self.identity.public()
    }

    fn sign(&self, domain: &str, message: &[u8]) -> Result<Signature, KeyError> {
        self.identity.sign(domain, message)
    }

    fn export(&self) -> Result<Identity, KeyError> {
        self.identity.export()
    }
}

#[cfg(unix)]
fn refuse_wide(path: &Path, metadata: &fs::Metadata) -> Result<(), FileKeyError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(FileKeyError::TooWide { path: path.to_owned(), mode })
}

/// Where there are no modes the folder's protection is what there is.
#[cfg(not(unix))]
fn refuse_wide(_path: &Path, _metadata: &fs::Metadata) -> Result<(), FileKeyError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use weald_core::SeededEntropy;

    use super::*;

    fn path() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.key");
        (folder, path)
    }

    #[test]
    fn ps1250_ps1789_an_identity_saved_and_loaded_is_the_same_peer() {
        for passphrase in [None, Some("correct horse")] {
            let (_folder, path) = path();
            let entropy = &mut SeededEntropy::new(4);
            let made = FileKeyStore::load_or_create(&path, passphrase, entropy).unwrap();
            let loaded = FileKeyStore::load_or_create(&path, passphrase, entropy).unwrap();
            assert_eq!(loaded.public(), made.public());
            let signature = loaded.sign("d", b"m").unwrap();
            assert!(made.public().verify("d", b"m", &signature));
            assert_eq!(loaded.export().unwrap().public(), made.public());
            assert_eq!(loaded.path(), path);
        }
    }

    #[cfg(unix)]
    #[test]
    fn ps1253_the_file_is_private_and_a_wider_one_is_refused_with_the_remedy() {
        use std::os::unix::fs::PermissionsExt;

        let (_folder, path) = path();
        FileKeyStore::load_or_create(&path, None, &mut SeededEntropy::new(4)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        for wide in [0o604, 0o640, 0o620, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(wide)).unwrap();
            let refused = FileKeyStore::load(&path, None).unwrap_err();
            assert!(matches!(refused, FileKeyError::TooWide { .. }), "{refused}");
            let text = refused.to_string();
            assert!(text.contains("chmod 600") && text.contains(&format!("{wide:03o}")), "{text}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        FileKeyStore::load(&path, None).unwrap();
    }

    #[test]
    fn a_wrong_passphrase_and_damaged_bytes_are_told_and_the_file_stays() {
        let (_folder, path) = path();
        let entropy = &mut SeededEntropy::new(4);
        FileKeyStore::load_or_create(&path, Some("right"), entropy).unwrap();
        let bytes = fs::read(&path).unwrap();
        for passphrase in [None, Some("wrong")] {
            let refused = FileKeyStore::load_or_create(&path, passphrase, entropy).unwrap_err();
            assert!(matches!(refused, FileKeyError::Key { .. }), "{refused}");
        }
        assert_eq!(fs::read(&path).unwrap(), bytes);
        fs::write(&path, b"not an identity").unwrap();
        let refused = FileKeyStore::load(&path, None).unwrap_err();
        assert!(matches!(refused, FileKeyError::Key { .. }), "{refused}");
    }

    #[test]
    fn an_identity_is_never_overwritten() {
        let (_folder, path) = path();
        let entropy = &mut SeededEntropy::new(4);
        let first = FileKeyStore::load_or_create(&path, None, entropy).unwrap();
        let other = Identity::generate(entropy);
        let refused = FileKeyStore::create(&path, other, None, entropy).unwrap_err();
        assert!(matches!(refused, FileKeyError::Exists { .. }), "{refused}");
        assert_eq!(FileKeyStore::load(&path, None).unwrap().public(), first.public());
    }
}
