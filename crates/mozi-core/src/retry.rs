//! Pauses before repetitions.

use std::time::Duration;

/// The pause before repetition number `repeats` (1, 2, 3 …): `initial` doubling up to `max`, shortened by up to a
/// quarter by `seed` so that many tasks do not come back at the same instant.
pub fn backoff(repeats: u32, initial: Duration, max: Duration, seed: u64) -> Duration {
    let full = doubled(initial, repeats.saturating_sub(1), max);
    let quarter = u64::try_from(full.as_micros()).unwrap_or(u64::MAX).checked_div(4).unwrap_or(0);
    let off = scramble(seed).checked_rem(quarter.saturating_add(1)).unwrap_or(0);
    full.saturating_sub(Duration::from_micros(off))
}

/// `initial`, doubled `times` times, at most `max`.
pub fn doubled(initial: Duration, times: u32, max: Duration) -> Duration {
    let factor = 1u32.checked_shl(times.min(31)).unwrap_or(u32::MAX);
    initial.saturating_mul(factor).min(max)
}

/// Spreads a seed over all bits (the finaliser of `SplitMix64`).
const fn scramble(seed: u64) -> u64 {
    let a = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}
