//! Session ids and tokens: the only place where this crate uses chance.

use std::fmt;

use mozi_core::{SessionId, TokenHash};
use sha2::{Digest, Sha256};

/// A bearer token. It is never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever it is for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A free slot: the session that a claim opens, and the token of its attempt. The board gets the token's hash only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The session.
    pub session_id: SessionId,
    /// Its token.
    pub token: Secret,
}

impl Offer {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn fresh() -> Result<Self, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self {
            session_id: SessionId(uuid::Builder::from_random_bytes(id).into_uuid()),
            token: Secret(format!("mozi_a_{}", hex(&secret))),
        })
    }

    /// The token's hash as the board stores it: its SHA-256.
    pub fn token_hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.token.0.as_bytes()).into())
    }
}

/// A random key under which a request is repeated.
///
/// # Errors
/// If the system has no random numbers.
pub fn fresh_key() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_differ_and_do_not_show_their_token() {
        let (a, b) = (Offer::fresh().unwrap(), Offer::fresh().unwrap());
        assert_ne!(a.session_id, b.session_id);
        assert_ne!(a.token_hash(), b.token_hash());
        assert_eq!(a.token.expose().len(), "mozi_a_".len() + 64);
        assert!(!format!("{a:?}").contains("mozi_a_"));
    }

    #[test]
    fn the_hash_is_that_of_the_text() {
        let offer = Offer { session_id: SessionId(uuid::Uuid::nil()), token: Secret::new("abc") };
        assert_eq!(
            hex(&offer.token_hash().0),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
