//! The runner with real supervisors and agents, against a board that is a script of the protocol.

#[cfg(test)]
mod board;
#[cfg(test)]
mod control;
#[cfg(test)]
mod help;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod life;
#[cfg(test)]
mod openclaw;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod recover;
