//! The calls of runners.
#![expect(clippy::missing_errors_doc, reason = "every call fails as `ClientError` says and in no other way")]

use std::time::Duration;

use mozi_core::{RunnerId, SessionId};

use super::{Call, Client, ClientError};
use crate::{
    runner::{
        Assignment, EndSession, Hello, HelloReply, OpenSession, Poll, PollReply, RunnerNotice, SessionNote,
        StartedSession, TakeSession,
    },
    session::Session,
};

fn session_path(runner: &RunnerId, session: SessionId, verb: &str) -> String {
    format!("/api/runners/{runner}/sessions/{session}/{verb}")
}

impl Client {
    /// A runner is there.
    pub async fn runner_hello(&self, runner: &RunnerId, body: &Hello) -> Result<HelloReply, ClientError> {
        self.json(Call::post(format!("/api/runners/{runner}/hello")).json(body)?).await
    }
    /// Asks for work and orders, and waits for them as long as the body says.
    pub async fn runner_poll(&self, runner: &RunnerId, body: &Poll) -> Result<PollReply, ClientError> {
        let mut call = Call::post(format!("/api/runners/{runner}/poll")).json(body)?;
        call.waits = Duration::from_secs(body.wait_seconds.into());
        self.json(call).await
    }
    /// Takes up a session that was asked for by name.
    pub async fn runner_take(
        &self,
        runner: &RunnerId,
        session: SessionId,
        body: &TakeSession,
    ) -> Result<Assignment, ClientError> {
        self.json(Call::post(session_path(runner, session, "take")).json(body)?).await
    }
    /// The agent's process runs.
    pub async fn runner_started(
        &self,
        runner: &RunnerId,
        session: SessionId,
        body: &StartedSession,
    ) -> Result<Session, ClientError> {
        self.json(Call::post(session_path(runner, session, "started")).json(body)?).await
    }
    /// What holds up the end of a session, or nothing any more.
    pub async fn runner_note(
        &self,
        runner: &RunnerId,
        session: SessionId,
        body: &SessionNote,
    ) -> Result<(), ClientError> {
        self.done(Call::post(session_path(runner, session, "note")).json(body)?).await
    }
    /// The session has ended.
    pub async fn runner_end(
        &self,
        runner: &RunnerId,
        session: SessionId,
        body: &EndSession,
    ) -> Result<Session, ClientError> {
        self.json(Call::post(session_path(runner, session, "end")).json(body)?).await
    }
    /// The open sessions of a runner, with their attempts.
    pub async fn runner_sessions(&self, runner: &RunnerId) -> Result<Vec<OpenSession>, ClientError> {
        self.json(Call::get(format!("/api/runners/{runner}/sessions"))).await
    }
    /// Something that people should see.
    pub async fn runner_notice(&self, runner: &RunnerId, body: &RunnerNotice) -> Result<(), ClientError> {
        self.done(Call::post(format!("/api/runners/{runner}/notice")).json(body)?).await
    }
    /// The runner is going away.
    pub async fn runner_goodbye(&self, runner: &RunnerId) -> Result<(), ClientError> {
        self.done(Call::post(format!("/api/runners/{runner}/goodbye"))).await
    }
}
