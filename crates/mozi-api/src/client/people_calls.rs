//! The calls about people, their tokens and what they did.
#![expect(clippy::missing_errors_doc, reason = "every call fails as `ClientError` says and in no other way")]

use http::Method;

use super::{Call, Client, ClientError};
use crate::{
    page::Page,
    query::escape,
    token::{CreateToken, CreatedToken, Token},
    user::{CreateUser, PatchUser, User},
};

impl Client {
    /// All users.
    pub async fn users(&self) -> Result<Page<User>, ClientError> {
        self.json(Call::get("/api/users")).await
    }
    /// A user.
    pub async fn user(&self, name: &str) -> Result<User, ClientError> {
        self.json(Call::get(format!("/api/users/{}", escape(name)))).await
    }
    /// A new user.
    pub async fn create_user(&self, body: &CreateUser) -> Result<User, ClientError> {
        self.json(Call::post("/api/users").json(body)?).await
    }
    /// Role, scope, end of a user, and whether they are disabled.
    pub async fn patch_user(&self, name: &str, body: &PatchUser) -> Result<User, ClientError> {
        self.json(Call::new(Method::PATCH, format!("/api/users/{}", escape(name))).json(body)?).await
    }

    /// All tokens.
    pub async fn tokens(&self) -> Result<Page<Token>, ClientError> {
        self.json(Call::get("/api/tokens")).await
    }
    /// A new token, with its secret.
    pub async fn create_token(&self, body: &CreateToken) -> Result<CreatedToken, ClientError> {
        self.json(Call::post("/api/tokens").json(body)?).await
    }
    /// Takes a token back.
    pub async fn revoke_token(&self, name: &str) -> Result<(), ClientError> {
        self.done(Call::new(Method::DELETE, format!("/api/tokens/{}", escape(name)))).await
    }
}
