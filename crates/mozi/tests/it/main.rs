//! The product's promises, tried on the real binary with real processes.

#![expect(
    clippy::expect_used,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "this is test code: what it cannot do fails the test"
)]

mod archive;
mod callbacks;
mod codes;
mod command_line;
mod config;
mod documents;
mod faults;
mod first_run;
mod hooks;
mod house;
mod life;
mod log;
mod people;
mod reload;
mod restart;
mod review;
mod rights;
mod service;
mod socket;
mod status;
mod support;
mod tidy;
mod two_folders;
