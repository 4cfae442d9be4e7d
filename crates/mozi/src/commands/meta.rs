//! What the program says of itself.

use clap::CommandFactory as _;

use crate::{
    cli::Cli,
    error::{Failure, Result},
    output::Out,
};

pub(crate) fn version(out: Out) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    if out.json() {
        return out.value(&serde_json::json!({ "version": version, "api": 1 }));
    }
    out.line(format!("mozi {version}"))
}

pub(crate) fn openapi(out: Out) -> Result<()> {
    out.line(mozi_board::openapi_json().trim_end())
}

pub(crate) fn completions(out: Out, shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mozi", &mut script);
    out.bytes(&script)
}

/// One page with all commands: the root, then each command under its own heading.
pub(crate) fn man(out: Out) -> Result<()> {
    let mut page = Vec::new();
    let failed =
        |e: std::io::Error| Failure::new(format!("could not write the manual: {}", crate::error::plain(&e)));
    let mut root = Cli::command();
    root.build();
    clap_mangen::Man::new(root.clone()).render(&mut page).map_err(failed)?;
    for command in all_below(&root, "mozi") {
        let man = clap_mangen::Man::new(command);
        man.render_name_section(&mut page).map_err(failed)?;
        man.render_synopsis_section(&mut page).map_err(failed)?;
        man.render_options_section(&mut page).map_err(failed)?;
    }
    out.bytes(&page)
}

fn all_below(command: &clap::Command, name: &str) -> Vec<clap::Command> {
    let mut all = Vec::new();
    for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        let full = format!("{name} {}", sub.get_name());
        if sub.has_subcommands() {
            all.extend(all_below(sub, &full));
        } else {
            all.push(sub.clone().bin_name(full.clone()).display_name(full));
        }
    }
    all
}
