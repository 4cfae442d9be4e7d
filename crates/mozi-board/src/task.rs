//! The one way to start a task of the runtime: a panic becomes a line in the log, not silence.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use tokio::task::JoinHandle;

/// Starts `work`, called `name` in the log.
pub(crate) fn spawn<F>(name: &'static str, work: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "the helper that the rule asks for")]
    tokio::spawn(async move {
        if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
            tracing::error!(task = name, "panicked: {}", what(&*panic));
        }
    })
}

/// Starts `work` that blocks, called `name` in the log, on a thread of its own kind.
pub(crate) fn blocking(name: &'static str, work: impl FnOnce() + Send + 'static) {
    let guarded = move || {
        if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(work)) {
            tracing::error!(task = name, "panicked: {}", what(&*panic));
        }
    };
    drop(tokio::task::spawn_blocking(guarded));
}

/// Waits until a point in time. For deadlines and heartbeats: what waits for an event waits for the event.
pub(crate) async fn until(at: tokio::time::Instant) {
    tokio::time::sleep_until(at).await;
}

/// The message of a panic.
pub(crate) fn what(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(crate) struct Running(JoinHandle<()>);

impl Running {
    /// Starts `work`, called `name` in the log.
    pub(crate) fn spawn<F>(name: &'static str, work: F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(spawn(name, work))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
