//! Tests of the board through its router, in process, and over sockets where limits are tried.

mod contract;
mod documents;
mod events;
mod logs;
mod outputs;
mod poll;
mod prompts;
mod refusals;
mod rights;
mod sockets;
mod support;
mod tasks;
