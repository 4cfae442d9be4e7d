//! Tests of the board through its router, in process, and over sockets where limits are tried.

#[cfg(test)]
mod anonymous;
#[cfg(test)]
mod archive;
#[cfg(test)]
mod codes;
#[cfg(test)]
mod conform;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod events;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod house;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod local;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod outputs;
#[cfg(test)]
mod poll;
#[cfg(test)]
mod prompts;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod secure;
mod server;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod status;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod versions;
