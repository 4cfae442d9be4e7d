//! The supervisor as a program of its own, for the tests of this crate: nothing of it is shipped.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match (args.next(), args.next()) {
        (Some(word), Some(dir)) if word == "supervise" => mozi_supervise::run(Path::new(&dir)),
        _ => ExitCode::from(2),
    }
}
