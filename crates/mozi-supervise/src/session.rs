//! A running session: one loop that waits for everything at once, and what it does at each event.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::agent::{self, Started};
use crate::clock;
use crate::control::server::Server;
use crate::descendants::{self, KillList, Stopped};
use crate::exit_record::{Cause, Ended, ExitRecord, Logs, Resources, StopOrder, WrittenBy};
use crate::limits::{Due, Limits};
use crate::logs::{READ_BYTES, Stream};
use crate::place::Place;
use crate::proc;
use crate::session_dir::name;
use crate::spec::Spec;
use crate::status::{AgentEnd, Phase, ProcId, STATUS_VERSION, Status, StatusFile};
use crate::sys::{self, PollFd, Reap, Reaped};

mod ending;
mod requests;

use ending::Ending;

/// The process sessions of descendants are noted so often: they are marks for a sweep, should we be killed.
const MARKS_EVERY: Duration = Duration::from_secs(5);
/// The first time they are noted: most children of a start-up script are there by then.
const MARKS_FIRST: Duration = Duration::from_millis(250);
/// New output is told in the status so often at most.
const OUTPUT_EVERY: Duration = Duration::from_secs(1);

/// More children than this are not taken leave of at once: a swarm may die faster than we can look, for ever.
const REAPED_AT_ONCE: usize = 128;

/// What is told to the supervisor by signal.
const SIGNALS: [i32; 3] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT];

pub(crate) struct Session {
    status: StatusFile,
    streams: [Stream; 2],
    server: Server,
    limits: Limits,
    signals: File,
    /// How the start of the program goes; `None` once that is known.
    report: Option<File>,
    start_error: Option<String>,
    program: PathBuf,
    cwd: PathBuf,
    started: Instant,
    grace: Duration,
    ending: Ending,
    killed: KillList,
    stopped: Stopped,
    /// No descendant is left, or a person has said that the rest does not matter.
    over: bool,
    /// Children may have ended that nobody took leave of yet.
    more_to_reap: bool,
    abandoned: Option<StopOrder>,
    marks_at: Instant,
    /// Output that the status does not tell of yet, and when it will.
    output_told_at: Option<Instant>,
    buffer: Vec<u8>,
    fds: Vec<PollFd>,
}

impl Session {
    /// Prepares everything and starts the agent. An error is the reason why there is none.
    pub(crate) fn begin(place: &mut Place) -> Result<Session, String> {
        let spec = place.dir.read_spec().map_err(|error| format!("could not {error}"))?;
        let could_not = |what: &'static str| move |error: io::Error| format!("could not {what}: {error}");
        Place::reserve_exit().map_err(could_not("set room for exit.json aside"))?;
        sys::become_subreaper().map_err(could_not("become the parent of orphans"))?;
        let signals = sys::signalfd(&SIGNALS).map_err(could_not("watch for signals"))?;
        let stream = |path: &str| Stream::open(Path::new(path), spec.log_limit_bytes, spec.log_overflow);
        let (stdout, agents_stdout) = stream(name::STDOUT).map_err(could_not("open stdout.log"))?;
        let (stderr, agents_stderr) = stream(name::STDERR).map_err(could_not("open stderr.log"))?;
        let server = Server::bind(Path::new(name::CONTROL)).map_err(could_not("listen on control.sock"))?;
        let started = Instant::now();
        let limits = Limits::new(started, spec.timeout_ms, spec.stall_timeout_ms);
        let first = first_status(&spec, &limits, started, [&stdout, &stderr])
            .map_err(could_not("know this process"))?;
        let mut status =
            StatusFile::create(Path::new(name::STATUS), first).map_err(could_not("make status.json"))?;
        status.write();
        let Started { pid, report } = agent::start(&spec, place, &agents_stdout, &agents_stderr)?;
        status.now.agent = Some(proc_id(pid));
        status.now.process_sessions = status.now.agent.into_iter().collect();
        status.now.started_at = Some(clock::wall_now());
        status.write();
        place.say_ready();
        Ok(Session {
            status,
            streams: [stdout, stderr],
            server,
            limits,
            signals,
            report: Some(report),
            start_error: None,
            program: spec.program,
            cwd: spec.cwd,
            started,
            grace: Duration::from_millis(spec.grace_ms),
            ending: Ending::No,
            killed: KillList::default(),
            stopped: Stopped::default(),
            over: false,
            more_to_reap: false,
            abandoned: None,
            marks_at: started + MARKS_FIRST,
            output_told_at: None,
            buffer: Vec::new(),
            fds: Vec::new(),
        })
    }

    /// Whether `exit.json` may be written.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Waits for the next event, at most until `until`, and deals with all that is there.
    pub(crate) fn turn(&mut self, until: Option<Instant>) {
        let at_once = self.more_to_reap.then(Instant::now);
        let wake = self.next_wake().into_iter().chain(until).chain(at_once).min();
        let mut fds = std::mem::take(&mut self.fds);
        fds.clear();
        fds.push(PollFd::readable(&self.signals));
        fds.push(self.report.as_ref().map_or_else(PollFd::none, PollFd::readable));
        fds.extend(
            self.streams.iter().map(|stream| stream.pipe().map_or_else(PollFd::none, PollFd::readable)),
        );
        self.server.add_to(&mut fds);
        sys::poll(&mut fds, wake.map(|at| at.saturating_duration_since(Instant::now())));
        if let [signals, report, stdout, stderr, listener, clients @ ..] = fds.as_slice() {
            if report.is_ready() {
                self.hear_of_start();
            }
            self.take_output([stdout.is_ready(), stderr.is_ready()]);
            // What ended by itself has ended by itself, whatever else is due in the same instant.
            if signals.is_ready() || self.more_to_reap {
                self.take_signals();
            }
            self.take_requests(listener.is_ready(), clients);
        }
        self.fds = fds;
        self.do_what_is_due();
    }

    fn next_wake(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let ending = self.ending.next();
        let limits = if ending.is_none() { self.limits.next() } else { None };
        let marks = if self.status.now.phase == Phase::Stuck { None } else { Some(self.marks_at) };
        [ending, limits, marks, self.output_told_at].into_iter().flatten().min()
    }

    fn do_what_is_due(&mut self) {
        if self.over {
            return;
        }
        let now = Instant::now();
        if !self.ending.has_begun()
            && let Some(due) = self.limits.due(now)
        {
            let grace =
                StopOrder { by: StopOrder::GRACE.to_owned(), why: "went on after its verdict".to_owned() };
            match due {
                Due::Deadline => self.end(Cause::Deadline, None, self.grace),
                Due::Stall => self.end(Cause::Stall, None, self.grace),
                Due::Grace => self.end(Cause::Stop, Some(grace), self.grace),
            }
        }
        self.go_on_ending(now);
        if now >= self.marks_at {
            self.marks_at = now + MARKS_EVERY;
            self.note_marks();
        }
        if self.output_told_at.is_some_and(|at| now >= at) {
            self.output_told_at = None;
            self.write_status();
        }
    }

    /// The program runs, or could not be executed.
    fn hear_of_start(&mut self) {
        let Some(report) = &mut self.report else { return };
        let Some(result) = agent::read_report(report, &self.program, &self.cwd) else { return };
        self.report = None;
        match result {
            Ok(()) if self.status.now.phase == Phase::Starting => self.enter(Phase::Running),
            Ok(()) => {}
            Err(error) => {
                self.start_error = Some(error);
                self.status.now.cause = Some(Cause::SpawnError);
            }
        }
    }

    fn take_output(&mut self, ready: [bool; 2]) {
        if !ready.contains(&true) {
            return;
        }
        self.make_buffer();
        let (mut bytes, mut over_limit) = (0, false);
        for (stream, _) in self.streams.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            let pumped = stream.pump(&mut self.buffer);
            bytes += pumped.bytes;
            over_limit |= pumped.over_limit;
        }
        if bytes > 0 {
            let now = Instant::now();
            self.limits.sign_of_life(now);
            self.status.now.last_output_at = Some(clock::wall_now());
            self.output_told_at.get_or_insert(now + OUTPUT_EVERY);
        }
        if over_limit && !self.ending.has_begun() {
            self.end(Cause::OutputLimit, None, self.grace);
        }
    }

    /// Made when first needed, never filled with zeroes: a page that no output comes into is never touched.
    fn make_buffer(&mut self) {
        self.buffer.reserve(READ_BYTES);
    }

    fn take_signals(&mut self) {
        let mut record = [0; sys::SIGNAL_RECORD_BYTES];
        // Each signal is there once at most; those that come meanwhile are for the next turn.
        for _ in SIGNALS {
            if !matches!(self.signals.read(&mut record), Ok(sys::SIGNAL_RECORD_BYTES)) {
                break;
            }
            let signal = record.first_chunk().map_or(0, |number| i32::from_ne_bytes(*number));
            if signal != libc::SIGCHLD && !self.ending.has_begun() {
                // The machine is shut down, or somebody means the agent: it is to end in good order.
                let why = if signal == libc::SIGTERM {
                    "the supervisor got SIGTERM"
                } else {
                    "the supervisor got SIGINT"
                };
                let stop = StopOrder { by: StopOrder::SIGNAL.to_owned(), why: why.to_owned() };
                self.end(Cause::Stop, Some(stop), self.grace);
            }
        }
        self.reap();
    }

    /// Takes leave of children that have ended.
    fn reap(&mut self) {
        let mut agent_ended = false;
        self.more_to_reap = true;
        for _ in 0..REAPED_AT_ONCE {
            match sys::reap() {
                Reap::One(child) => {
                    self.ending.has_progressed();
                    self.stopped.forget(child.pid);
                    if self.status.now.agent.is_some_and(|agent| agent.pid == child.pid)
                        && self.status.now.agent_ended.is_none()
                    {
                        self.agent_has_ended(&child);
                        agent_ended = true;
                    }
                }
                Reap::NoneEnded => {
                    self.more_to_reap = false;
                    break;
                }
                Reap::NoChildren => {
                    self.more_to_reap = false;
                    self.over = true;
                    break;
                }
            }
        }
        if agent_ended {
            if !self.over {
                self.end_leftovers();
            }
            self.enter(Phase::Ending);
        }
    }

    fn agent_has_ended(&mut self, child: &Reaped) {
        // Why it could not be started may be in the pipe still.
        self.hear_of_start();
        self.status.now.cause.get_or_insert(Cause::Itself);
        self.status.now.agent_ended = Some(AgentEnd {
            exit_code: child.exit_code,
            signal: child.signal,
            core: child.core,
            at: clock::wall_now(),
        });
    }

    /// Notes the process sessions that descendants are in.
    fn note_marks(&mut self) {
        let mut sessions: Vec<i32> = descendants::find(false).iter().map(|process| process.session).collect();
        sessions.sort_unstable();
        sessions.dedup();
        // 0: a leader that has gone, or is in a namespace that we do not see.
        let sessions: Vec<ProcId> =
            sessions.into_iter().filter(|session| *session > 1).map(proc_id).collect();
        if sessions != self.status.now.process_sessions {
            self.status.now.process_sessions = sessions;
            self.write_status();
        }
    }

    fn write_status(&mut self) {
        let [stdout, stderr] = &self.streams;
        self.status.now.stdout_bytes = stdout.log.written;
        self.status.now.stderr_bytes = stderr.log.written;
        self.status.write();
    }

    /// Tells of a new phase: in the status, and to whoever is connected.
    fn enter(&mut self, phase: Phase) {
        self.status.now.phase = phase;
        self.write_status();
        if self.server.has_clients() {
            let news = self.news();
            self.server.tell_all(&news);
        }
    }

    /// Takes over the last output and says how the session ended.
    pub(crate) fn record(&mut self) -> ExitRecord {
        self.make_buffer();
        for stream in &mut self.streams {
            stream.drain(&mut self.buffer);
        }
        let mut record =
            ExitRecord::not_started(Cause::SpawnError, self.start_error.take(), WrittenBy::Supervisor);
        let status = &self.status.now;
        if record.error.is_none() {
            record.started_at.clone_from(&status.started_at);
            record.cause = status.cause.unwrap_or(Cause::Itself);
            record.stop.clone_from(&status.stop);
            record.ended = None;
            if let Some(end) = &status.agent_ended {
                record.ended = Some(if end.signal.is_some() { Ended::Signalled } else { Ended::Exited });
                record.exit_code = end.exit_code;
                record.signal = end.signal;
                record.core = end.core;
                record.agent_ended_at = Some(end.at.clone());
            }
            let (cpu_seconds, max_rss_bytes) = sys::usage_of_children();
            record.resources = Some(Resources { cpu_seconds, max_rss_bytes });
        }
        if let Some(order) = self.abandoned.take() {
            record.error = Some(format!("ended on the word of {}: {}", order.by, order.why));
            record.left_behind.clone_from(&status.left_behind);
        }
        record.elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).ok();
        let [stdout, stderr] = &self.streams;
        record.logs = Some(Logs { stdout: stdout.log.end(), stderr: stderr.log.end() });
        std::mem::take(&mut self.killed).into_record(&mut record);
        record
    }

    /// Tells what keeps the session from ending.
    pub(crate) fn note_trouble(&mut self, trouble: String) {
        self.status.now.trouble = Some(trouble);
        self.write_status();
    }
}

fn proc_id(pid: i32) -> ProcId {
    ProcId { pid, start_time_ticks: proc::process_start_time(pid).unwrap_or(0) }
}

fn first_status(spec: &Spec, limits: &Limits, now: Instant, streams: [&Stream; 2]) -> io::Result<Status> {
    let pipes = streams.iter().map(|stream| stream.inode()).collect::<io::Result<Vec<_>>>()?;
    let deadline_mono_ms = limits.deadline().map(|at| {
        sys::monotonic_ms()
            .saturating_add(u64::try_from(at.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX))
    });
    Ok(Status {
        version: STATUS_VERSION,
        boot_id: proc::boot_id()?,
        pid_ns: proc::pid_namespace()?,
        supervisor: proc_id(i32::try_from(std::process::id()).unwrap_or(0)),
        grace_ms: spec.grace_ms,
        deadline_mono_ms,
        pipe_inodes: pipes,
        ..Status::default()
    })
}
