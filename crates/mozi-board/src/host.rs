//! The process around the board, as far as it can be asked over HTTP.

use std::time::Duration;

use futures_util::future::BoxFuture;
use mozi_api::server::{ConfigMistake, Reloaded};

/// What a board can ask of the process that it runs in. It knows neither files of configuration nor runners itself.
pub trait Host: Send + Sync {
    /// The file of the configuration.
    fn config_file(&self) -> String;

    /// Reads the configuration again and goes by it, or by nothing of it.
    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, Unreadable>>;

    /// Claims and starts nothing for so long; zero ends that. False when there is no runner to be told.
    fn drain(&self, span: Duration) -> BoxFuture<'_, bool>;
}

/// A configuration that cannot be taken.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// Why, in words: all of it.
    pub text: String,
    /// The mistakes one by one.
    pub mistakes: Vec<ConfigMistake>,
}
