//! Tokens of people and scripts.

use http::StatusCode;
use mozi_api::{
    Page,
    token::{CreateToken, CreatedToken, Token},
};
use mozi_core::{Command, Identity, Reply, User, token::Holder, user};

use crate::{
    call::{Call, Outcome, json, location},
    clock::{hash_token, new_secret},
    error::ApiError,
};

/// The user whose a token is.
fn of<'a>(users: &'a [User], token: &mozi_core::Token) -> Option<&'a User> {
    match &token.holder {
        Holder::User { user: name, role: _ } => users.iter().find(|u| user::same(&u.name, name)),
        Holder::Runner(_) => None,
    }
}

async fn shown(call: &Call, token: &mozi_core::Token) -> Result<Token, ApiError> {
    let users = call.board.store.users().await?;
    Ok(Token::new(token, of(&users, token), call.board.clock.now()))
}

pub(super) async fn list(call: Call) -> Outcome {
    let (tokens, users) = (call.board.store.tokens().await?, call.board.store.users().await?);
    let now = call.board.clock.now();
    json(StatusCode::OK, &Page::whole(tokens.iter().map(|t| Token::new(t, of(&users, t), now)).collect()))
}

pub(super) async fn create(mut call: Call) -> Outcome {
    let body: CreateToken = call.json().await?;
    // A token belongs to whoever makes it, unless said otherwise; whether they may is decided with the command.
    let Identity::User { user, role, .. } = call.identify().await? else {
        return Err(ApiError::unauthenticated("this token is not known, or not any more"));
    };
    let user = body.user.clone().unwrap_or(user);
    let role = call.board.store.user(&user).await?.map_or(role, |u| u.role);
    // Asked again under its key, the secret must be the same, and it is stored nowhere.
    let secret = match call.repeatable_secret("mozi_u_")? {
        Some(secret) => secret,
        None => new_secret("mozi_u_")?,
    };
    let answer = call.submit(body.into_command(hash_token(&secret), user, role)).await?;
    let Reply::Token(token) = answer.reply else {
        return Err(ApiError::internal("the reply is no token"));
    };
    if token.hash != hash_token(&secret) {
        return Err(ApiError::secret_is_gone());
    }
    // As it was made: asked again, the answer is the same.
    let info = Token { last_used_at: None, ..shown(&call, &token).await? };
    let created = CreatedToken { token: secret, info };
    Ok(location(json(StatusCode::CREATED, &created)?, "/api/tokens"))
}

pub(super) async fn revoke(call: Call) -> Outcome {
    let name: String = call.path("name", "token")?;
    let answer = call.submit(Command::RevokeToken { name }).await?;
    let Reply::Token(token) = answer.reply else {
        return Err(ApiError::internal("the reply is no token"));
    };
    call.board.dismissals.look();
    json(StatusCode::OK, &shown(&call, &token).await?)
}
