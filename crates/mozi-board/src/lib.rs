//! The board over HTTP: rights, prompts, events.

pub mod prompt;
