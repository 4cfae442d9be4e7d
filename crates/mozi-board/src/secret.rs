//! What the board keeps to itself: a random key, from which secrets are made that must come out the same again.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use sha2::{Digest as _, Sha256};

use crate::{
    BoardError,
    clock::{hex, new_secret},
};

/// A random key in the data folder. Without it nothing of what was derived comes out again; nothing else is lost.
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    /// Reads the key of a data folder, or makes it.
    pub(crate) fn open(data: &Path) -> Result<Self, BoardError> {
        let path = data.join("secret");
        read_or_make(&path).map(Self).map_err(|source| BoardError::Secret { path, source })
    }

    /// A secret for this prefix that only the same parts give again.
    pub(crate) fn derive(&self, prefix: &str, parts: &[&[u8]]) -> String {
        let mut inner = Sha256::new_with_prefix(&self.0);
        for part in parts {
            inner.update((part.len() as u64).to_le_bytes());
            inner.update(part);
        }
        // Twice, the key first: whoever knows one secret cannot go on from it to another.
        let outer = Sha256::new_with_prefix(&self.0).chain_update(inner.finalize()).finalize();
        format!("{prefix}{}", hex(outer.get(..24).unwrap_or(&outer)))
    }
}

fn read_or_make(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Ok(key) if key.len() >= 32 => return Ok(key),
        // Cut off while it was made: nothing was derived from it yet.
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let key = new_secret("").map_err(|e| io::Error::other(e.to_string()))?;
    let unfinished = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    #[expect(clippy::disallowed_methods, reason = "synced before, and its folder after")]
    fs::rename(&unfinished, path)?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(key.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_give_the_same_secret_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let one = Secret::open(dir.path()).unwrap();
        let again = Secret::open(dir.path()).unwrap();
        let secret = one.derive("mozi_u_", &[b"a", b"bc"]);
        assert_eq!(secret, again.derive("mozi_u_", &[b"a", b"bc"]));
        assert_eq!(secret.len(), "mozi_u_".len() + 48);
        assert_ne!(secret, one.derive("mozi_u_", &[b"ab", b"c"]));
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(secret, Secret::open(elsewhere.path()).unwrap().derive("mozi_u_", &[b"a", b"bc"]));
        fs::write(elsewhere.path().join("secret"), b"half").unwrap();
        Secret::open(elsewhere.path()).unwrap();
    }
}
