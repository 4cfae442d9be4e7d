//! The orders of one session on their way to its supervisor.

use std::collections::VecDeque;
use std::time::Duration;

use mozi_supervise::{Answer, Request};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::step::Tell;

/// What a session's task is told.
#[derive(Debug, Clone)]
pub(crate) enum Word {
    /// An order of the board.
    Order(Tell),
    /// The agent was heard of at the board.
    SignOfLife,
}

/// Orders that have come, and which of them the supervisor has done.
pub(crate) struct Orders {
    incoming: mpsc::Receiver<Word>,
    queue: VecDeque<Wanted>,
    /// Sent and not answered.
    sent: Option<(u64, Wanted)>,
    /// The highest number that the supervisor has done.
    done: u64,
    stop: Option<String>,
    forced: Option<String>,
    stuck: bool,
    abandon_sent: bool,
    /// Since when a stop, or the grace after a verdict, waits to be taken up by the supervisor.
    untaken_since: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Stop { why: String },
    Verdict { given: Instant },
    SignOfLife,
    Abandon { why: String },
}

impl Orders {
    pub(crate) fn new(incoming: mpsc::Receiver<Word>) -> Self {
        Self {
            incoming,
            queue: VecDeque::new(),
            sent: None,
            done: 0,
            stop: None,
            forced: None,
            stuck: false,
            abandon_sent: false,
            untaken_since: None,
        }
    }

    /// Whether the supervisor should have ended the session by an order long ago, and has not even taken it up:
    /// `patience` after the graces that it would have given.
    pub(crate) fn overdue(&mut self, grace: Duration, patience: Duration) -> bool {
        self.drain();
        self.untaken_since.is_some_and(|since| since.elapsed() > grace * 2 + patience)
    }

    /// Why it is to be stopped, if it is.
    pub(crate) fn stop(&mut self) -> Option<&str> {
        self.drain();
        self.stop.as_deref()
    }

    /// Why it is to be closed without proof, if it is.
    pub(crate) fn forced(&mut self) -> Option<&str> {
        self.drain();
        self.forced.as_deref()
    }

    /// Has it stopped, whoever wants that.
    pub(crate) fn stop_now(&mut self, why: &str) {
        self.take(Word::Order(Tell::Stop { why: why.to_owned() }));
    }

    /// Its verdict was given so long ago.
    pub(crate) fn verdict_given(&mut self, age: Duration) {
        self.take(Word::Order(Tell::Grace { age }));
    }

    /// Returns when it is to be stopped.
    pub(crate) async fn wait_for_stop(&mut self) {
        while self.stop.is_none() {
            match self.incoming.recv().await {
                Some(word) => self.take(word),
                None => std::future::pending().await,
            }
        }
    }

    /// Whether what is left cannot be killed: only then a person's word counts.
    pub(crate) fn stuck(&mut self, stuck: bool) {
        self.stuck = stuck;
    }

    /// A new connection: what was done before it broke is not asked for again.
    pub(crate) fn greeted(&mut self, done: u64) {
        self.done = done;
        self.abandon_sent = false;
        match self.sent.take() {
            Some((n, wanted)) if n > done => self.queue.push_front(wanted),
            Some((_, wanted)) => self.taken_up(&wanted),
            None => {}
        }
    }

    fn taken_up(&mut self, wanted: &Wanted) {
        if matches!(wanted, Wanted::Stop { .. } | Wanted::Verdict { .. }) {
            self.untaken_since = None;
        }
    }

    /// The next request, with its number.
    pub(crate) fn next(&mut self, grace: Duration) -> Option<(Option<u64>, Request)> {
        self.drain();
        if self.sent.is_some() {
            return None;
        }
        if let Some(why) = self.forced.clone()
            && self.stuck
            && !self.abandon_sent
        {
            self.abandon_sent = true;
            self.queue.push_back(Wanted::Abandon { why });
        }
        let wanted = self.queue.pop_front()?;
        let n = self.done + 1;
        let request = match &wanted {
            Wanted::Stop { why } => {
                Request::Stop { by: "board".to_owned(), why: why.clone(), grace_ms: None }
            }
            Wanted::Verdict { given } => {
                Request::VerdictGiven { since_ms_ago: millis(given.elapsed()), grace_ms: millis(grace) }
            }
            Wanted::SignOfLife => Request::SignOfLife,
            Wanted::Abandon { why } => Request::Abandon { by: "a person".to_owned(), why: why.clone() },
        };
        self.sent = Some((n, wanted));
        Some((Some(n), request))
    }

    /// The supervisor has answered what was sent.
    pub(crate) fn answered(&mut self, answer: &Answer) {
        self.done = self.done.max(answer.done);
        let Some((_, wanted)) = self.sent.take() else { return };
        if let Some(error) = &answer.error {
            tracing::warn!("a supervisor will not do what it was asked for: {error}");
        } else if answer.repeated {
            // The number was used up without us: it was not done.
            self.queue.push_front(wanted);
        } else {
            self.taken_up(&wanted);
        }
    }

    /// Returns when there is something to ask for.
    pub(crate) async fn wait(&mut self) {
        while self.queue.is_empty() && !(self.forced.is_some() && self.stuck && !self.abandon_sent) {
            match self.incoming.recv().await {
                Some(word) => self.take(word),
                // The runner goes away; so will this task.
                None => std::future::pending().await,
            }
        }
    }

    /// Returns when a new word has come, or after this time.
    pub(crate) async fn wait_for_one(&mut self, at_most: Duration) {
        match tokio::time::timeout(at_most, self.incoming.recv()).await {
            Ok(Some(word)) => self.take(word),
            Ok(None) => std::future::pending().await,
            Err(_) => {}
        }
    }

    fn drain(&mut self) {
        while let Ok(word) = self.incoming.try_recv() {
            self.take(word);
        }
    }

    fn take(&mut self, word: Word) {
        match word {
            Word::SignOfLife => {
                if !self.queue.contains(&Wanted::SignOfLife) {
                    self.queue.push_back(Wanted::SignOfLife);
                }
            }
            Word::Order(Tell::Stop { why }) => {
                self.stop = Some(why.clone());
                self.untaken_since.get_or_insert_with(Instant::now);
                self.queue.push_back(Wanted::Stop { why });
            }
            Word::Order(Tell::Grace { age }) => {
                let now = Instant::now();
                self.untaken_since.get_or_insert(now);
                self.queue.push_back(Wanted::Verdict { given: now.checked_sub(age).unwrap_or(now) });
            }
            Word::Order(Tell::Force { why }) => self.forced = Some(why),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    fn orders() -> (mpsc::Sender<Word>, Orders) {
        let (sender, receiver) = mpsc::channel(8);
        (sender, Orders::new(receiver))
    }

    fn stop() -> Word {
        Word::Order(Tell::Stop { why: "w".into() })
    }

    fn answer(done: u64, repeated: bool) -> Answer {
        Answer { done, repeated, ..Answer::default() }
    }

    #[tokio::test]
    async fn one_after_the_other_with_growing_numbers() {
        let (sender, mut orders) = orders();
        orders.greeted(4);
        sender.send(stop()).await.unwrap();
        sender.send(Word::SignOfLife).await.unwrap();
        sender.send(Word::SignOfLife).await.unwrap();
        let (n, request) = orders.next(GRACE).unwrap();
        assert!(n == Some(5) && matches!(request, Request::Stop { .. }));
        assert!(orders.next(GRACE).is_none(), "the first is not answered");
        orders.answered(&answer(5, false));
        assert_eq!(orders.next(GRACE).unwrap(), (Some(6), Request::SignOfLife));
        orders.answered(&answer(6, false));
        assert!(orders.next(GRACE).is_none());
    }

    #[tokio::test]
    async fn what_was_done_before_a_break_is_not_sent_again() {
        let (sender, mut orders) = orders();
        orders.greeted(0);
        sender.send(stop()).await.unwrap();
        orders.next(GRACE).unwrap();
        orders.greeted(0);
        assert_eq!(orders.next(GRACE).unwrap().0, Some(1), "it was not done");
        orders.greeted(1);
        assert!(orders.next(GRACE).is_none(), "it was done, only the answer was lost");
    }

    #[tokio::test]
    async fn the_grace_counts_from_the_verdict_also_after_a_wait() {
        let (sender, mut orders) = orders();
        orders.greeted(0);
        sender.send(Word::Order(Tell::Grace { age: Duration::from_secs(20) })).await.unwrap();
        let (_, Request::VerdictGiven { since_ms_ago, grace_ms }) = orders.next(GRACE).unwrap() else {
            panic!()
        };
        assert!((20_000..60_000).contains(&since_ms_ago), "{since_ms_ago}");
        assert_eq!(grace_ms, 30_000);
    }

    #[tokio::test]
    async fn an_order_that_nobody_takes_up_is_overdue_after_the_graces() {
        let (sender, mut orders) = orders();
        orders.greeted(0);
        assert!(!orders.overdue(Duration::ZERO, Duration::ZERO), "nothing was ordered");
        sender.send(stop()).await.unwrap();
        assert!(!orders.overdue(GRACE, Duration::ZERO), "it has its time");
        assert!(orders.overdue(Duration::ZERO, Duration::ZERO));
        orders.next(GRACE).unwrap();
        orders.greeted(0);
        assert!(orders.overdue(Duration::ZERO, Duration::ZERO), "a greeting alone is no answer");
        orders.next(GRACE).unwrap();
        orders.answered(&answer(1, false));
        assert!(!orders.overdue(Duration::ZERO, Duration::ZERO));
    }

    #[tokio::test]
    async fn a_persons_word_counts_only_while_something_is_stuck() {
        let (sender, mut orders) = orders();
        orders.greeted(0);
        sender.send(Word::Order(Tell::Force { why: "mine".into() })).await.unwrap();
        assert!(orders.next(GRACE).is_none());
        assert_eq!(orders.forced(), Some("mine"));
        orders.stuck(true);
        assert!(matches!(orders.next(GRACE).unwrap().1, Request::Abandon { .. }));
    }
}
