//! Waiting for what tells nobody when it happens.

use std::time::{Duration, Instant};

/// How often it is looked.
const STEP: Duration = Duration::from_millis(10);

/// Asks until the answer is yes.
///
/// # Panics
/// When it is still no after `limit`; `what` says what was waited for.
#[track_caller]
pub fn wait_until<F>(limit: Duration, what: &str, mut holds: F) -> impl Future<Output = ()>
where
    F: AsyncFnMut() -> bool,
{
    let caller = std::panic::Location::caller();
    let what = what.to_owned();
    async move {
        let found = wait_for(limit, async || holds().await.then_some(())).await;
        assert!(found.is_some(), "{caller}: waited {limit:?} in vain for {what}");
    }
}

/// Asks until there is an answer; none after `limit`.
pub async fn wait_for<T, F>(limit: Duration, mut find: F) -> Option<T>
where
    F: AsyncFnMut() -> Option<T>,
{
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = find().await {
            return Some(found);
        }
        if Instant::now() >= until {
            return None;
        }
        step().await;
    }
}

/// The same for tests without a runtime.
///
/// # Panics
/// When it is still no after `limit`.
#[track_caller]
pub fn wait_until_blocking(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let found = wait_for_blocking(limit, || holds().then_some(()));
    assert!(found.is_some(), "waited {limit:?} in vain for {what}");
}

/// The same for tests without a runtime.
pub fn wait_for_blocking<T>(limit: Duration, mut find: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = find() {
            return Some(found);
        }
        if Instant::now() >= until {
            return None;
        }
        step_blocking();
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where tests look again after a pause")]
async fn step() {
    tokio::time::sleep(STEP).await;
}

#[expect(clippy::disallowed_methods, reason = "the one place where tests look again after a pause")]
fn step_blocking() {
    std::thread::sleep(STEP);
}
