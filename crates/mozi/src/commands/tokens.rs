//! `mozi token …`

use mozi_api::{token::CreateToken, wire::Text};

use super::{
    people::{end, moment, only, scope},
    tasks::Several,
};
use crate::{cli::TokenCommand, context::Context, error::Result, output::Table};

pub(crate) async fn run(context: &Context, project: Option<&str>, command: TokenCommand) -> Result<()> {
    context.person_only("`token`")?;
    match command {
        TokenCommand::Create(args) => {
            let body = CreateToken {
                name: args.name,
                user: args.user,
                role: args.role.map(|r| Text(r.role())),
                project_id: only(project)?,
                expires_at: args.expires.as_deref().map(end).transpose()?,
            };
            let made = context.ask(context.client.create_token(&body)).await?;
            if context.out.json() {
                return context.out.value(&made);
            }
            // The secret alone on standard output: it can be taken up by a script.
            crate::output::note(format!(
                "token {}, shown this once; give it to MOZI_TOKEN or --token:",
                made.info.name
            ));
            context.out.line(made.token)
        }
        TokenCommand::List => {
            let tokens = context.ask(context.client.tokens()).await?.items;
            if context.out.json() {
                return context.out.value(&tokens);
            }
            let mut table = Table::new(&["NAME", "USER", "ROLE", "PROJECT", "EXPIRES", "LAST USED", "STATE"]);
            for t in &tokens {
                let of = t.user.clone().or_else(|| t.runner_id.as_ref().map(|r| format!("runner {r}")));
                table.row(vec![
                    t.name.clone(),
                    of.unwrap_or_default(),
                    t.role.clone(),
                    scope(t.project_id.as_ref()),
                    moment(t.expires_at),
                    moment(t.last_used_at),
                    t.state.replace('_', " "),
                ]);
            }
            context.out.table(&table)
        }
        TokenCommand::Revoke { names } => {
            let mut several = Several::default();
            for name in &names {
                let done = async {
                    context.ask(context.client.revoke_token(name)).await?;
                    Ok((serde_json::json!({ "name": name, "revoked": true }), format!("{name} is revoked")))
                };
                several.add(context, done.await)?;
            }
            several.end(context, names.len())
        }
    }
}
