//! The `mozi` binary.

fn main() {}
