//! Tokens of people and scripts.

use http::StatusCode;
use mozi_api::{
    Page,
    token::{CreateToken, CreatedToken, Token},
};
use mozi_core::{Command, Identity, Reply};

use crate::{
    call::{Call, Outcome, json, location},
    clock::{hash_token, new_secret},
    error::ApiError,
};

pub(super) async fn list(call: Call) -> Outcome {
    let tokens = call.board.store.tokens().await?;
    json(StatusCode::OK, &Page::whole(tokens.iter().map(Token::from).collect()))
}

pub(super) async fn create(mut call: Call) -> Outcome {
    let body: CreateToken = call.json().await?;
    // A token belongs to whoever makes it; whether they may is decided with the command.
    let Identity::User { user, .. } = call.identify().await? else {
        return Err(ApiError::unauthenticated("this token is not known, or not any more"));
    };
    // Asked again under its key, the secret must be the same, and it is stored nowhere.
    let secret = match call.repeatable_secret("mozi_u_")? {
        Some(secret) => secret,
        None => new_secret("mozi_u_")?,
    };
    let answer = call.submit(body.into_command(hash_token(&secret), user)).await?;
    let Reply::Token(token) = answer.reply else {
        return Err(ApiError::internal("the reply is no token"));
    };
    if token.hash != hash_token(&secret) {
        return Err(ApiError::secret_is_gone());
    }
    let created = CreatedToken { token: secret, info: Token::from(&*token) };
    Ok(location(json(StatusCode::CREATED, &created)?, "/api/tokens"))
}

pub(super) async fn revoke(call: Call) -> Outcome {
    let name: String = call.path("name", "token")?;
    let answer = call.submit(Command::RevokeToken { name }).await?;
    let Reply::Token(token) = answer.reply else {
        return Err(ApiError::internal("the reply is no token"));
    };
    json(StatusCode::OK, &Token::from(&*token))
}
