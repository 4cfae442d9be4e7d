//! Wire shapes of Mozi's HTTP interface, and the client that speaks it.
//!
//! Everything that is serialised for others stands here and nowhere else: the types of `mozi-core` have no wire form
//! of their own, so a rename there cannot change what agents and scripts hold on to. This crate knows neither the
//! store nor the server.

pub mod actor;
pub mod agent;
pub mod attempt;
pub mod body;
pub mod client;
pub mod comment;
pub mod event;
pub mod files;
pub mod health;
pub mod house;
pub mod import;
pub mod output;
pub mod page;
pub mod problem;
pub mod project;
pub mod prompt;
pub mod query;
pub mod report;
pub mod runner;
pub mod server;
pub mod session;
pub mod sse;
pub mod status;
pub mod task;
pub mod token;
pub mod transport;
pub mod user;
pub mod waiting;
pub mod wire;

pub use body::{BadBody, Invalid};
pub use client::{Client, ClientError};
pub use files::{BoxFuture, FilesError, LogChunk, LogStream, SessionFiles};
pub use page::Page;
pub use problem::Problem;
pub use transport::Transport;
