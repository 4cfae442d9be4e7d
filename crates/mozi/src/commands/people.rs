//! `mozi user …`

use mozi_api::{
    user::{CreateUser, PatchUser, User},
    wire::{ProjectId, Text, Time, parse_duration},
};

use super::tasks::Several;
use crate::{
    cli::{UserAdd, UserCommand},
    context::{Context, project_id},
    error::{Failure, Result},
    output::{Table, local, now, parse_point},
};

pub(crate) async fn run(context: &Context, project: Option<&str>, command: UserCommand) -> Result<()> {
    context.person_only("`user`")?;
    match command {
        UserCommand::Add(args) => add(context, project, args).await,
        UserCommand::List => {
            let users = context.ask(context.client.users()).await?.items;
            if context.out.json() {
                return context.out.value(&users);
            }
            let mut table = Table::new(&["NAME", "ROLE", "PROJECT", "LAST USED", "STATE"]);
            for u in &users {
                table.row(vec![
                    u.name.clone(),
                    u.role.clone(),
                    scope(u.project_id.as_ref()),
                    moment(u.last_used_at),
                    state(u),
                ]);
            }
            context.out.table(&table)
        }
        UserCommand::Disable { names } => switch(context, &names, true).await,
        UserCommand::Enable { names } => switch(context, &names, false).await,
    }
}

async fn add(context: &Context, project: Option<&str>, args: UserAdd) -> Result<()> {
    let body = CreateUser {
        name: args.name,
        role: Some(Text(args.role.role())),
        project_id: only(project)?,
        expires_at: args.expires.as_deref().map(end).transpose()?,
    };
    let user = context.ask(context.client.create_user(&body)).await?;
    if context.out.json() {
        return context.out.value(&user);
    }
    let of = user.project_id.as_ref().map_or_else(String::new, |p| format!(" of project {p}"));
    context.out.line(format!("added {}, {}{of}; {}", user.name, user.role, state(&user)))?;
    crate::output::note(format!("a token for them: mozi token create --name NAME --user {}", user.name));
    Ok(())
}

async fn switch(context: &Context, names: &[String], off: bool) -> Result<()> {
    let mut several = Several::default();
    for name in names {
        let done = async {
            let patch = PatchUser { disabled: Some(off), ..PatchUser::default() };
            let user = context.ask(context.client.patch_user(name, &patch)).await?;
            let said = format!("{} is {}", user.name, if off { "disabled" } else { "enabled" });
            Ok((user, said))
        };
        several.add(context, done.await)?;
    }
    several.end(context, names.len())
}

fn state(user: &User) -> String {
    let past = |at: Time| now().parse::<Time>().is_ok_and(|now| at <= now);
    match (user.disabled_at, user.expires_at) {
        (Some(at), _) => format!("disabled {}", local(&at.to_string())),
        (None, Some(at)) if past(at) => format!("expired {}", local(&at.to_string())),
        (None, Some(at)) => format!("until {}", local(&at.to_string())),
        (None, None) => "valid".to_owned(),
    }
}

/// The project that was named on the command line. The surroundings do not count: who gives rights says of what.
pub(super) fn only(project: Option<&str>) -> Result<Option<ProjectId>> {
    project.map(|p| project_id(p).map(Into::into)).transpose()
}

pub(super) fn scope(project: Option<&ProjectId>) -> String {
    project.map_or_else(|| "all".to_owned(), ToString::to_string)
}

pub(super) fn moment(at: Option<Time>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| local(&at.to_string()))
}

/// `90d` or `12h` from now, or a point in time.
pub(super) fn end(text: &str) -> Result<Time> {
    let wrong =
        || Failure::usage(format!("--expires takes 90d, 12h or a date such as 2027-01-31, not {text:?}"));
    let later = format!("+{text}");
    let at = parse_point(if parse_duration(text).is_ok() { &later } else { text }).map_err(|_| wrong())?;
    at.parse().map_err(|_| wrong())
}
