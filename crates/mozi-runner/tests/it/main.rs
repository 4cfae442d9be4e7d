//! The runner with real supervisors and agents, against a board that is a script of the protocol.

mod board;
mod help;
mod hooks;
mod life;
mod openclaw;
mod orders;
mod outbox;
mod recover;
