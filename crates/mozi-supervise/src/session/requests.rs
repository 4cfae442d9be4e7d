//! What is asked of a session over `control.sock`.

use std::time::{Duration, Instant};

use super::Session;
use crate::control::server::Asked;
use crate::control::{Answer, Request};
use crate::exit_record::{Cause, StopOrder};
use crate::status::Phase;
use crate::sys::PollFd;

impl Session {
    pub(super) fn take_requests(&mut self, somebody_waits: bool, clients: &[PollFd]) {
        let asked = self.server.read(clients);
        for asked in &asked {
            let answer = self.do_request(asked);
            self.server.answer(asked, &answer);
        }
        self.server.forget_gone();
        if somebody_waits {
            let greeting = self.news();
            self.server.accept(&greeting);
        }
        self.limits.runner_connected(self.server.has_clients(), Instant::now());
    }

    /// The present state, as it is told unasked.
    pub(super) fn news(&self) -> Answer {
        let status = Some(Box::new(self.status.now.clone()));
        Answer { news: true, done: self.status.now.highest_message, status, ..Answer::default() }
    }

    fn do_request(&mut self, asked: &Asked) -> Answer {
        let mut answer = Answer { done: self.status.now.highest_message, ..Answer::default() };
        let message = match &asked.message {
            Ok(message) => message,
            Err(error) => {
                answer.error = Some(format!("not a message: {error}"));
                return answer;
            }
        };
        answer.n = message.n;
        answer.repeated = message.n.is_some_and(|n| n <= self.status.now.highest_message);
        if !answer.repeated {
            match self.carry_out(&message.request) {
                Ok(()) => {
                    if let Some(n) = message.n {
                        // On record before it is answered: our successor in the runner's memory is this number.
                        self.status.now.highest_message = n;
                        self.write_status();
                        answer.done = n;
                    }
                }
                Err(error) => answer.error = Some(error),
            }
        }
        if message.request == Request::Status {
            answer.status = self.news().status;
        }
        answer
    }

    fn carry_out(&mut self, request: &Request) -> Result<(), String> {
        let now = Instant::now();
        match request {
            Request::Stop { by, why, grace_ms } => {
                let grace = grace_ms.map(Duration::from_millis);
                if self.ending.has_begun() {
                    if let Some(at) = grace.and_then(|grace| now.checked_add(grace)) {
                        self.ending.hasten(at);
                    }
                } else {
                    let order = StopOrder { by: by.clone(), why: why.clone() };
                    self.end(Cause::Stop, Some(order), grace.unwrap_or(self.grace));
                }
                Ok(())
            }
            Request::VerdictGiven { since_ms_ago, grace_ms } => {
                self.limits.verdict_given(now, *since_ms_ago, *grace_ms);
                Ok(())
            }
            Request::SignOfLife => {
                self.limits.sign_of_life(now);
                Ok(())
            }
            Request::Status => Ok(()),
            Request::Abandon { by, why } => {
                if self.status.now.phase != Phase::Stuck {
                    return Err("nothing of this session resists being killed".to_owned());
                }
                self.abandoned = Some(StopOrder { by: by.clone(), why: why.clone() });
                self.over = true;
                Ok(())
            }
            Request::Unknown => Err("this supervisor does not know that request".to_owned()),
        }
    }
}
