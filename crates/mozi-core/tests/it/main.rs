//! The rules of the board, tried on a board in memory.

#[cfg(test)]
mod agents;
#[cfg(test)]
mod anonymous;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod ids;
mod import;
#[cfg(test)]
mod judge;
#[cfg(test)]
mod people;
#[cfg(test)]
mod pruning;
#[cfg(test)]
mod random;
#[cfg(test)]
mod rest;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod retry;
#[cfg(test)]
mod review;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod subtasks;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod verdicts;
#[cfg(test)]
mod waiting;
