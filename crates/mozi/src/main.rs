//! The `mozi` binary: names, words and wiring.

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::Parser as _;

mod agent_context;
mod cli;
mod commands;
mod config;
mod context;
mod error;
mod house;
mod output;
#[cfg(test)]
mod reference;
mod serve;

use error::Exit;

fn main() -> ExitCode {
    // Before anything else exists: a supervisor is small, has one thread, and lives longer than all of us.
    let mut words = std::env::args_os().skip(1);
    match (words.next(), words.next()) {
        (Some(word), Some(dir)) if word == "supervise" => return mozi_supervise::run(Path::new(&dir)),
        (Some(word), Some(file)) if word == "lock-probe" => return serve::lock::probe(Path::new(&file)),
        _ => {}
    }
    run(&std::env::args_os().collect::<Vec<OsString>>())
}

#[inline(never)]
fn run(words: &[OsString]) -> ExitCode {
    let cli = match cli::Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no errors and go to standard output; the rest is usage.
            let exit = if e.use_stderr() { Exit::Usage } else { Exit::Done };
            match cli::groups::of_program(&e, words) {
                Some(help) => drop(std::io::Write::write_all(&mut std::io::stdout().lock(), help.as_bytes())),
                None => drop(e.print()),
            }
            return ExitCode::from(exit as u8);
        }
    };
    let json = cli.global.json;
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure, json);
            ExitCode::from(failure.exit as u8)
        }
    }
}
