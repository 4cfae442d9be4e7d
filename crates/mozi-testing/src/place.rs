//! Ports and folders.

use std::net::{Ipv4Addr, TcpListener};

use tempfile::TempDir;

/// A port of loopback that was free just now.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of loopback");
    listener.local_addr().expect("the port of a bound socket").port()
}

/// A temporary folder with a short name: the paths of Unix sockets end at 107 bytes.
///
/// # Panics
/// When it cannot be made.
pub fn temp_dir() -> TempDir {
    tempfile::Builder::new().prefix("mz").rand_bytes(8).tempdir().expect("a temporary folder")
}
