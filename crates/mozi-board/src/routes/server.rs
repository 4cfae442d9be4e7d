//! The process of the board: its configuration, and its claims before an end.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use mozi_api::{
    Problem,
    server::{Drain, Draining, ReloadConfig, Reloaded},
};
use mozi_core::{Command, Reply, command::ConfigRead};
use serde_json::json;

use crate::{
    call::{Call, Outcome, json},
    error::ApiError,
    host::Host,
};

/// The longest time of one draining, in seconds: whoever wants more says so again.
const LONGEST: u32 = 3600;

fn host(call: &Call) -> Result<Arc<dyn Host>, ApiError> {
    let host = call.board.host.get().map(Arc::clone);
    host.ok_or_else(|| Problem::of("unavailable", "the server is still starting").into())
}

pub(super) async fn reload(mut call: Call) -> Outcome {
    let ReloadConfig {} = call.json_or_default().await?;
    let host = host(&call)?;
    let before = call.recall_body().await?;
    if let Some(Reply::Config(read)) = before
        && let Some(reloaded) = Reloaded::of(host.config_file(), read)
    {
        return json(StatusCode::OK, &reloaded);
    }
    match host.reload().await {
        Ok(reloaded) => {
            call.submit(Command::ConfigRead(reloaded.clone().into_read())).await?;
            json(StatusCode::OK, &reloaded)
        }
        Err(why) => {
            // Not kept as the answer to its key: the file may be right when it is asked for again.
            let refused = ConfigRead::Refused { text: why.text.clone() };
            call.board.store.submit(call.request(Command::ConfigRead(refused))?, None).await?;
            Err(Problem::of("config_refused", why.text).with("mistakes", json!(why.mistakes)).into())
        }
    }
}

pub(super) async fn drain(mut call: Call) -> Outcome {
    let body: Drain = call.json().await?;
    if body.seconds > LONGEST {
        return Err(ApiError::invalid("seconds", format_args!("is at most {LONGEST}")));
    }
    if !host(&call)?.drain(Duration::from_secs(body.seconds.into())).await {
        return Err(Problem::of("unavailable", "the runner is not there").into());
    }
    let live = call.board.store.agents().await?.iter().map(|(_, live)| live.len()).sum::<usize>();
    let draining =
        Draining { draining: body.seconds > 0, active_sessions: u64::try_from(live).unwrap_or(u64::MAX) };
    json(StatusCode::OK, &draining)
}
