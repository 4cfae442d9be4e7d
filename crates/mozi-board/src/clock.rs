//! The only place of the board that reads the time or random numbers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use mozi_core::{SessionId, Timestamp, TokenHash};
use sha2::{Digest, Sha256};

/// The time and chance of a board.
#[derive(Debug, Clone)]
pub struct Clock {
    /// Microseconds since the epoch, where a test holds the hands.
    hands: Option<Arc<AtomicI64>>,
    /// Where the next random number comes from: a counter over a random beginning, mixed. Good for jitter and
    /// names, not for secrets.
    chance: Arc<AtomicU64>,
}

impl Clock {
    /// The machine's own.
    pub fn system() -> Self {
        Self { hands: None, chance: Arc::new(AtomicU64::new(random_u64())) }
    }

    /// One that stands still until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        Self { hands: Some(Arc::new(AtomicI64::new(start.as_micros()))), chance: Arc::new(AtomicU64::new(1)) }
    }

    /// Sets the hands of a manual clock; the machine's own cannot be set.
    pub fn set(&self, to: Timestamp) {
        if let Some(hands) = &self.hands {
            hands.store(to.as_micros(), Ordering::Relaxed);
        }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        if let Some(hands) = &self.hands {
            return Timestamp::from_micros(hands.load(Ordering::Relaxed));
        }
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// A number that is not the last one: for jitter.
    pub fn seed(&self) -> u64 {
        // SplitMix64: a counter with its bits well stirred.
        let mut z = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Random bits that stand nowhere else.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub(crate) fn chance(&self) -> Result<u128, getrandom::Error> {
        Ok(self.session_id()?.0.as_u128())
    }

    /// A new session's id.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn session_id(&self) -> Result<SessionId, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(SessionId(uuid::Builder::from_random_bytes(bytes).into_uuid()))
    }
}

fn random_u64() -> u64 {
    // Without random numbers jitter begins at the same place every time: nothing depends on it.
    getrandom::u64().unwrap_or(0x5851_f42d_4c95_7f2d)
}

/// A new secret: the prefix (`mozi_u_`, `mozi_a_`, `mozi_r_`) and 192 random bits.
///
/// # Errors
/// When the system gives no random numbers.
pub fn new_secret(prefix: &str) -> Result<String, getrandom::Error> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{prefix}{}", hex(&bytes)))
}

/// The hash under which a bearer token is stored.
pub fn hash_token(token: &str) -> TokenHash {
    TokenHash(Sha256::digest(token.as_bytes()).into())
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(if n < 10 { b'0' + n } else { b'a' + (n - 10) });
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// The SHA-256 of some bytes as lower-case hexadecimal digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_hash_to_32_bytes() {
        let (a, b) = (new_secret("mozi_a_").unwrap(), new_secret("mozi_a_").unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), "mozi_a_".len() + 48);
        assert_eq!(hash_token("abc").0[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(hex(&[0, 0x9f, 0xff]), "009fff");
    }

    #[test]
    fn a_manual_clock_moves_only_when_it_is_set() {
        let clock = Clock::manual(Timestamp::from_micros(5));
        let same = clock.clone();
        assert_eq!(same.now().as_micros(), 5);
        clock.set(Timestamp::from_micros(9));
        assert_eq!(same.now().as_micros(), 9);
        assert_ne!(clock.seed(), clock.seed());
    }
}
