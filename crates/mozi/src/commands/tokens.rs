//! `mozi token …`

use mozi_api::token::CreateToken;

use super::tasks::Several;
use crate::{
    cli::TokenCommand,
    context::Context,
    error::Result,
    output::{Table, local},
};

pub(crate) async fn run(context: &Context, command: TokenCommand) -> Result<()> {
    context.person_only("`token`")?;
    match command {
        TokenCommand::Create { name } => {
            let body = CreateToken { name, user: None, role: None, project_id: None, expires_at: None };
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
            let mut table = Table::new(&["NAME", "ROLE", "OF", "CREATED", "STATE"]);
            for t in &tokens {
                let of = t.user.clone().or_else(|| t.runner_id.as_ref().map(ToString::to_string));
                let state = match (t.revoked_at, t.expires_at) {
                    (Some(at), _) => format!("revoked {}", local(&at.to_string())),
                    (None, Some(at)) => format!("until {}", local(&at.to_string())),
                    (None, None) => "valid".to_owned(),
                };
                table.row(vec![
                    t.name.clone(),
                    t.role.clone(),
                    of.unwrap_or_default(),
                    local(&t.created_at.to_string()),
                    state,
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
