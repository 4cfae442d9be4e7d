//! People.

use http::StatusCode;
use mozi_api::{
    Page,
    user::{CreateUser, PatchUser, User},
};
use mozi_core::{Reply, Timestamp, Token, token::Holder, user};

use crate::{
    call::{Call, Outcome, json, location},
    error::ApiError,
};

/// When any of a user's tokens was last used.
fn last_used(tokens: &[Token], name: &str) -> Option<Timestamp> {
    let of = |t: &&Token| matches!(&t.holder, Holder::User { user, .. } if user::same(user, name));
    tokens.iter().filter(of).filter_map(|t| t.last_used_at).max()
}

pub(super) async fn list(call: Call) -> Outcome {
    let (users, tokens) = (call.board.store.users().await?, call.board.store.tokens().await?);
    let items = users.iter().map(|u| User::new(u, last_used(&tokens, &u.name))).collect();
    json(StatusCode::OK, &Page::whole(items))
}

pub(super) async fn show(call: Call) -> Outcome {
    let name: String = call.path("u", "user")?;
    let user = call.board.store.user(&name).await?;
    let user = user.ok_or_else(|| ApiError::not_found(format_args!("user {name:?}")))?;
    let tokens = call.board.store.tokens().await?;
    json(StatusCode::OK, &User::new(&user, last_used(&tokens, &user.name)))
}

pub(super) async fn create(mut call: Call) -> Outcome {
    let body: CreateUser = call.json().await?;
    let answer = call.submit(body.into_command()).await?;
    answered(&call, answer.reply).await
}

pub(super) async fn edit(mut call: Call) -> Outcome {
    let name: String = call.path("u", "user")?;
    let body: PatchUser = call.json().await?;
    let answer = call.submit(body.into_command(name)).await?;
    call.board.dismissals.look();
    answered(&call, answer.reply).await
}

async fn answered(call: &Call, reply: Reply) -> Outcome {
    let Reply::User { user, created } = reply else {
        return Err(ApiError::internal("the reply is no user"));
    };
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let tokens = call.board.store.tokens().await?;
    let response = json(status, &User::new(&user, last_used(&tokens, &user.name)))?;
    Ok(location(response, &format!("/api/users/{}", mozi_api::query::escape(&user.name))))
}
