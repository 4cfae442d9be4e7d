//! The store as its users see it: what was answered is on disk, and every question tells the truth.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod crash;
mod forget;
mod full;
mod migrate;
mod suite;
mod support;
mod threads;
