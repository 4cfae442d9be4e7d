//! Tests of the board through its router, in process, and over sockets where limits are tried.

mod contract;
mod prompts;
mod support;
