//! Routes whose rights are decided with the command read the body first. Where that is wrong, rights still come first:
//! whoever may not know of a task is told that there is none, not how to ask better.

use std::sync::Arc;

use mozi_core::{Identity, ProjectId, Refusal, TaskId};

use crate::{
    Access, AttemptAccess, Board, Decided, RunnerAccess, auth::Bearer, error::ApiError, routes::Route,
};

/// What is needed to look at the rights of a request that went wrong.
pub(crate) struct Late {
    board: Arc<Board>,
    bearer: Option<Bearer>,
    path: String,
}

impl Late {
    /// None where rights are looked at before anything is read.
    pub(crate) fn new(board: &Arc<Board>, route: &Route, bearer: Option<Bearer>, path: &str) -> Option<Self> {
        let within = route.access.decided == Decided::Within;
        within.then(|| Self { board: Arc::clone(board), bearer, path: path.to_owned() })
    }

    /// Whether an error is about how was asked, so that rights may not have been looked at.
    pub(crate) fn concerns(error: &ApiError) -> bool {
        matches!(error.status(), 400 | 408 | 413 | 415 | 422)
    }

    /// A part of the path, as it stands there.
    fn part<T: std::str::FromStr>(&self, route: &Route, name: &str) -> Option<T> {
        let mut parts = route.path.split('/').zip(self.path.split('/'));
        parts
            .find(|(known, _)| known.trim_matches(['{', '}']) == name)
            .and_then(|(_, asked)| asked.parse().ok())
    }

    /// Refuses whoever may not do this at all.
    pub(crate) async fn check(&self, route: &Route) -> Result<(), ApiError> {
        let Access { user, attempt, runner, .. } = route.access;
        let Some(bearer) = self.bearer else { return Ok(()) };
        let project: Option<ProjectId> = self.part(route, "p");
        let refused = |refusal: Refusal| Err(ApiError::from(refusal));
        match self.board.store.identify(bearer.hash, self.board.clock.now()).await? {
            Identity::Unknown => refused(Refusal::Unauthenticated),
            Identity::User { role, project: scope, .. } => match (scope, project) {
                (Some(scope), Some(asked)) if scope != asked => {
                    Err(ApiError::not_found(format_args!("project {asked}")))
                }
                _ if user.is_none_or(|least| role < least) => {
                    Err(ApiError::forbidden("this token may not do this"))
                }
                _ => Ok(()),
            },
            Identity::Attempt { key, .. } => {
                let own_task = self.part::<TaskId>(route, "t").is_none_or(|t| t == key.task);
                let own_project = project.is_none_or(|p| p == key.project);
                if own_project && (own_task || attempt == AttemptAccess::Project) {
                    Ok(())
                } else {
                    Err(ApiError::not_found("such thing for this token"))
                }
            }
            Identity::Runner(me) => {
                let own = self.part(route, "r").is_none_or(|r| me == r);
                if own || runner != RunnerAccess::Own {
                    Ok(())
                } else {
                    Err(ApiError::not_found("such runner for this token"))
                }
            }
            Identity::Board => Ok(()),
        }
    }
}
