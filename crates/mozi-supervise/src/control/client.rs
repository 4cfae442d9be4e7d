//! A blocking client of `control.sock`; one for tokio is written the same way on [`super::Message`].

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{Answer, LINE_LIMIT, Message, Request};
use crate::error::Error;
use crate::session_dir::SessionDir;
use crate::status::Status;

/// A connection to a supervisor. While it is open, a runner counts as connected.
#[derive(Debug)]
pub struct Control {
    stream: BufReader<UnixStream>,
    /// The highest number that the supervisor has done, as far as we know.
    done: u64,
    /// The last status that it sent.
    status: Option<Status>,
}

/// Why a supervisor could not be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no supervisor (it has not come up yet, or is gone): look at the directory.
    #[error("reach the supervisor: {0}")]
    Gone(#[source] io::Error),
    /// It did not answer in time.
    #[error("get an answer of the supervisor in time")]
    Silent,
    /// It answered that it will not.
    #[error("have the supervisor do it: {0}")]
    Refused(String),
    /// It answered what is not of this protocol.
    #[error("understand the supervisor's answer: {0}")]
    Garbled(String),
    /// The directory could not be opened.
    #[error(transparent)]
    Directory(#[from] Error),
}

impl Control {
    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// [`ControlError::Gone`] if nobody listens; see [`ControlError`].
    pub fn connect(dir: &SessionDir, patience: Duration) -> Result<Control, ControlError> {
        let (_open_dir, address) = dir.control_address()?;
        let stream = UnixStream::connect(address).map_err(ControlError::Gone)?;
        stream.set_read_timeout(Some(patience)).map_err(ControlError::Gone)?;
        stream.set_write_timeout(Some(patience)).map_err(ControlError::Gone)?;
        let mut control = Control { stream: BufReader::new(stream), done: 0, status: None };
        control.next_answer()?;
        Ok(control)
    }

    /// The highest message number that the supervisor has done.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// The last status that the supervisor sent, of itself or when asked.
    pub fn last_status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    /// Has a request done under the next free number.
    ///
    /// # Errors
    /// See [`ControlError`]. After [`ControlError::Silent`] or [`ControlError::Gone`] it may or may not have been done.
    pub fn request(&mut self, request: &Request) -> Result<Answer, ControlError> {
        loop {
            let answer = self.send(&Message { n: Some(self.done + 1), request: request.clone() })?;
            // Another client was faster with this number: ours was not done.
            if !answer.repeated {
                return Ok(answer);
            }
        }
    }

    /// Sends a message as it is and waits for its answer.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn send(&mut self, message: &Message) -> Result<Answer, ControlError> {
        let mut line =
            serde_json::to_vec(message).map_err(|error| ControlError::Garbled(error.to_string()))?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).map_err(ControlError::Gone)?;
        loop {
            let answer = self.next_answer()?;
            if !answer.news && answer.n == message.n {
                return match answer.error {
                    Some(error) => Err(ControlError::Refused(error)),
                    None => Ok(answer),
                };
            }
        }
    }

    /// Asks for the status.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn ask_status(&mut self) -> Result<Status, ControlError> {
        let answer = self.send(&Message { n: None, request: Request::Status })?;
        answer.status.map(|status| *status).ok_or_else(|| ControlError::Garbled("no status in it".to_owned()))
    }

    /// Waits until the supervisor sends something or is gone; `None` when it is gone.
    ///
    /// # Errors
    /// See [`ControlError`]; [`ControlError::Silent`] when nothing came in time.
    pub fn wait_for_news(&mut self) -> Result<Option<Answer>, ControlError> {
        match self.next_answer() {
            Ok(answer) => Ok(Some(answer)),
            Err(ControlError::Gone(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    fn next_answer(&mut self) -> Result<Answer, ControlError> {
        let mut line = Vec::new();
        let limit = u64::try_from(LINE_LIMIT).unwrap_or(u64::MAX);
        match self.stream.by_ref().take(limit).read_until(b'\n', &mut line) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(ControlError::Silent);
            }
            Err(error) => return Err(ControlError::Gone(error)),
            Ok(_) if !line.ends_with(b"\n") => {
                return Err(ControlError::Gone(io::ErrorKind::UnexpectedEof.into()));
            }
            Ok(_) => {}
        }
        let answer: Answer =
            serde_json::from_slice(&line).map_err(|error| ControlError::Garbled(error.to_string()))?;
        self.done = self.done.max(answer.done);
        if let Some(status) = &answer.status {
            self.status = Some((**status).clone());
        }
        Ok(answer)
    }
}
