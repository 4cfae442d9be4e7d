//! What every command does; one file for each noun.

use crate::{
    cli::{Cli, Command},
    context::Context,
    error::Result,
    output::Out,
};

mod agents;
mod archive;
mod attempts;
mod backup;
mod config;
mod demo;
mod doctor;
mod events;
mod house;
mod init;
mod logs;
mod meta;
mod outputs;
mod people;
mod projects;
mod report;
mod service;
mod sessions;
mod status;
mod tasks;
mod tokens;
mod words;

/// Carries out a command line.
pub(crate) fn run(cli: Cli) -> Result<()> {
    let Cli { global, command } = cli;
    let out = Out::new(global.json);
    let Some(command) = command else { return one()?.block_on(status::plain(&global)) };
    match command {
        Command::Demo { keep } => several()?.block_on(demo::run(out, keep)),
        Command::Init => init::run(out),
        Command::Serve(args) => several()?.block_on(crate::serve::run(args)),
        Command::Doctor { data, config, all_outputs } => {
            several()?.block_on(doctor::run(out, data, config.as_deref(), all_outputs))
        }
        Command::Config(c) => several()?.block_on(config::run(out, c)),
        Command::Up(args) => service::up(&global, &args),
        Command::Down(args) => one()?.block_on(service::down(&global, args)),
        Command::Stop(args) => one()?.block_on(service::stop(&global, args)),
        Command::Reload(args) => one()?.block_on(service::reload(&global, args)),
        Command::Backup(args) => several()?.block_on(backup::backup(&global, args)),
        Command::Restore(args) => several()?.block_on(backup::restore(&global, args)),
        Command::Gc(args) => several()?.block_on(house::gc(&global, args)),
        Command::Openapi => meta::openapi(out),
        Command::Completions { shell } => meta::completions(out, shell),
        Command::Man => meta::man(out),
        Command::Version => meta::version(out),
        Command::Report(args) => one()?.block_on(report::status(&global, args)),
        Command::Output(crate::cli::OutputCommand::Add(args)) => {
            one()?.block_on(report::output(&global, args))
        }
        Command::Comment { id, text } => {
            one()?.block_on(report::comment(&global, &[id].into_iter().chain(text).collect::<Vec<_>>()))
        }
        Command::Status(args) => one()?.block_on(status::show(&Context::open(&global)?, &global, args)),
        Command::Project(c) => one()?.block_on(projects::run(&Context::open(&global)?, c)),
        Command::Task(c) => one()?.block_on(tasks::run(&Context::open(&global)?, *c)),
        Command::Why { ids } => one()?.block_on(tasks::why(&Context::open(&global)?, &ids)),
        Command::Logs(args) => one()?.block_on(logs::run(&Context::open(&global)?, args)),
        Command::Attempt(c) => one()?.block_on(attempts::run(&Context::open(&global)?, c)),
        Command::Output(c) => one()?.block_on(outputs::run(&Context::open(&global)?, c)),
        Command::Session(c) => one()?.block_on(sessions::run(&Context::open(&global)?, c)),
        Command::Agent(c) => one()?.block_on(agents::run(&Context::open(&global)?, c)),
        Command::Events(args) => one()?.block_on(events::run(&Context::open(&global)?, args)),
        Command::User(c) => {
            one()?.block_on(people::run(&Context::open(&global)?, global.project.as_deref(), c))
        }
        Command::Token(c) => {
            one()?.block_on(tokens::run(&Context::open(&global)?, global.project.as_deref(), c))
        }
    }
}

fn one() -> Result<tokio::runtime::Runtime> {
    runtime(&mut tokio::runtime::Builder::new_current_thread())
}

fn several() -> Result<tokio::runtime::Runtime> {
    runtime(&mut tokio::runtime::Builder::new_multi_thread())
}

fn runtime(builder: &mut tokio::runtime::Builder) -> Result<tokio::runtime::Runtime> {
    let built = builder.enable_all().build();
    built.map_err(|e| crate::error::Failure::new(format!("could not start: {}", crate::error::plain(&e))))
}
