//! The system calls that std lacks, and the only `unsafe` code of the workspace. Linux.
//!
//! Every function here is a thin wrapper with a safe face; none of them decides anything.

use std::ffi::{CStr, CString, c_char};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// The result of a system call that answers -1 for an error.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

// --- this process -----------------------------------------------------------------------------------------------

/// Blocks every signal that can be blocked; gives back the mask as it was.
pub(crate) fn block_all_signals() -> io::Result<libc::sigset_t> {
    let all = full_set();
    let mut before = empty_set();
    // SAFETY: both sets are initialised and live for the call.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
    if result == 0 { Ok(before) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// Sets the signal mask of this thread.
pub(crate) fn set_signal_mask(mask: &libc::sigset_t) {
    // SAFETY: the set is initialised; the old mask is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
}

fn full_set() -> libc::sigset_t {
    let mut set = empty_set();
    // SAFETY: `set` is a valid place for a signal set.
    unsafe { libc::sigfillset(&raw mut set) };
    set
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: a signal set is plain data, for which zeroes are the empty set on Linux.
    unsafe { std::mem::zeroed() }
}

/// A descriptor from which the given (blocked) signals are read; it does not block.
pub(crate) fn signalfd(signals: &[i32]) -> io::Result<File> {
    let mut set = empty_set();
    for signal in signals {
        // SAFETY: `set` is a valid signal set.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    // SAFETY: the set is initialised; -1 asks for a new descriptor.
    let fd = check(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
    Ok(File::from(owned(fd)))
}

/// The signal number in a record read from a [`signalfd`].
pub(crate) const SIGNAL_RECORD_BYTES: usize = size_of::<libc::signalfd_siginfo>();

/// Takes over a descriptor that a system call has just made.
fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: only called with a descriptor that the kernel has just given to us and that nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Leaves the session and the terminal of whoever started us. Fails for the leader of a process group.
pub(crate) fn setsid() -> io::Result<()> {
    // SAFETY: no arguments, no memory.
    check(unsafe { libc::setsid() }).map(drop)
}

/// Sets the file mode mask; gives back the old one.
pub(crate) fn umask(mask: u32) -> u32 {
    // SAFETY: no memory is involved.
    unsafe { libc::umask(mask) }
}

/// Closes every descriptor from 3 on.
pub(crate) fn close_from_3() {
    // By number: older C libraries have no wrapper. A kernel without the call leaves the descriptors, which the
    // runner opens close-on-exec anyway.
    // SAFETY: nothing in this process uses a descriptor above 2 yet; see `start::take_over`.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
}

/// Makes `to` refer to what `from` refers to. Used for 0, 1 and 2 only.
pub(crate) fn replace_standard_fd(from: BorrowedFd<'_>, to: RawFd) -> io::Result<()> {
    // SAFETY: `from` is open; whatever was at `to` is a standard stream that is meant to go.
    check(unsafe { libc::dup2(from.as_raw_fd(), to) }).map(drop)
}

/// Orphans below this process become its children.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1_u64, 0_u64, 0_u64, 0_u64) }).map(drop)
}

/// The short name that `ps` shows.
pub(crate) fn set_process_name(name: &CStr) {
    // SAFETY: the pointer is to a string that ends in NUL.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Asks for the highest ordinary priority; refused to most.
pub(crate) fn take_precedence() {
    // SAFETY: no memory is involved.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
}

/// The effective user.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: no memory is involved.
    unsafe { libc::geteuid() }
}

/// `CLOCK_MONOTONIC` in ms: comparable between the processes of one boot, stands still while the machine sleeps.
pub(crate) fn monotonic_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Lets a bounded time pass where there is no event to wait for: the process table has none.
pub(crate) fn pause(time: Duration) {
    let mut nothing: [PollFd; 0] = [];
    poll(&mut nothing, Some(time));
}

// --- descriptors ------------------------------------------------------------------------------------------------

/// One descriptor in a call of [`poll`].
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct PollFd(libc::pollfd);

impl PollFd {
    /// To be woken when something can be read, or the other side has gone.
    pub(crate) fn readable(fd: &impl AsRawFd) -> PollFd {
        PollFd(libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 })
    }

    /// A place holder that never wakes anybody.
    pub(crate) fn none() -> PollFd {
        PollFd(libc::pollfd { fd: -1, events: 0, revents: 0 })
    }

    pub(crate) fn is_ready(self) -> bool {
        self.0.revents != 0
    }
}

/// Waits until one of them is ready or the time is over (`None`: for ever). An interruption counts as a wake-up.
pub(crate) fn poll(fds: &mut [PollFd], timeout: Option<Duration>) {
    let limit = timeout.map(|time| libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(time.subsec_nanos()),
    });
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let count = libc::nfds_t::try_from(fds.len()).unwrap_or(0);
    // SAFETY: `PollFd` is a transparent `pollfd`; the slice and the time live for the call.
    let result = unsafe { libc::ppoll(fds.as_mut_ptr().cast(), count, limit, std::ptr::null()) };
    if result < 0 {
        for fd in fds {
            fd.0.revents = 0;
        }
    }
}

/// Reads once, in place of what the buffer holds, as much as it has room for; nothing is filled with zeroes before.
pub(crate) fn read_into_spare(file: &File, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.clear();
    let spare = buffer.spare_capacity_mut();
    // SAFETY: the kernel writes at most `len` bytes into the spare room, which is ours.
    let count = unsafe { libc::read(file.as_raw_fd(), spare.as_mut_ptr().cast(), spare.len()) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has written the first `count` bytes, and `count` is within the capacity.
    unsafe { buffer.set_len(count) };
    Ok(count)
}

/// Makes reads from a descriptor return instead of waiting.
pub(crate) fn set_nonblocking(fd: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: the descriptor is open; no memory is involved.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) }).map(drop)
}

/// Frees a part of a file; its length and all offsets stay.
pub(crate) fn punch_hole(file: &File, from: u64, length: u64) -> io::Result<()> {
    let offset = libc::off_t::try_from(from).map_err(io::Error::other)?;
    let length = libc::off_t::try_from(length).map_err(io::Error::other)?;
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: the descriptor is open; no memory is involved.
    check(unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, length) }).map(drop)
}

/// Reserves room for a file on its disk.
pub(crate) fn reserve(file: &File, length: u32) -> io::Result<()> {
    // SAFETY: the descriptor is open; no memory is involved.
    check(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, libc::off_t::from(length)) }).map(drop)
}

/// The user on the other side of a Unix socket.
pub(crate) fn peer_uid(socket: &impl AsRawFd) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or(0);
    // SAFETY: `peer` and `length` are valid places of the right size for the answer.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    check(result).map(|_| peer.uid)
}

// --- other processes --------------------------------------------------------------------------------------------

/// Sends a signal to a process. Safe against the reuse of its number only for an unreaped child of ours.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    guard(pid)?;
    // SAFETY: no memory is involved.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Sends a signal to a process group.
pub(crate) fn kill_group(group: i32, signal: i32) -> io::Result<()> {
    guard(group)?;
    // SAFETY: no memory is involved; `guard` has kept out 0 and 1, which would mean our own group and everybody.
    check(unsafe { libc::kill(-group, signal) }).map(drop)
}

/// 0, 1 and negative numbers mean "my group", "init" and "everybody": never what is meant here.
fn guard(pid: i32) -> io::Result<()> {
    if pid > 1 { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

/// A descriptor for a process; it becomes readable when the process has ended.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    guard(pid)?;
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0_u32) };
    check(libc::c_int::try_from(fd).unwrap_or(-1)).map(owned)
}

/// Sends a signal to the very process that the descriptor stands for.
pub(crate) fn pidfd_signal(pidfd: &OwnedFd, signal: i32) -> io::Result<()> {
    // SAFETY: no signal information is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0_u32,
        )
    };
    check(libc::c_int::try_from(result).unwrap_or(-1)).map(drop)
}

/// One child that has ended.
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    pub(crate) exit_code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) core: bool,
}

/// What [`reap`] found.
pub(crate) enum Reap {
    /// A child has ended and is gone now.
    One(Reaped),
    /// There are children, none of them has ended.
    NoneEnded,
    /// There is no child. For a subreaper that means: no descendant.
    NoChildren,
}

/// Takes leave of one ended child, if there is one. The only `wait` in this crate.
pub(crate) fn reap() -> Reap {
    loop {
        let mut status = 0;
        // __WALL: also children that were cloned with another signal than SIGCHLD.
        // SAFETY: `status` is a valid place for the answer.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
        match check(pid) {
            Ok(0) => return Reap::NoneEnded,
            Ok(pid) => {
                return Reap::One(Reaped {
                    pid,
                    exit_code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
                    signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
                    core: libc::WIFSIGNALED(status) && libc::WCOREDUMP(status),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Reap::NoChildren,
        }
    }
}

/// CPU seconds and the largest resident size (bytes) of all descendants that were waited for.
pub(crate) fn usage_of_children() -> (f64, u64) {
    // SAFETY: `rusage` is plain data, for which zeroes are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid place for the answer.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    let seconds = |time: libc::timeval| {
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_usec).unwrap_or(0) * 1000,
        )
    };
    let cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    (cpu.as_secs_f64(), u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024)
}

// --- starting the agent -----------------------------------------------------------------------------------------

/// All that a child needs between fork and exec, made before the fork.
pub(crate) struct AgentPlan<'a> {
    /// Paths to try, in order.
    pub(crate) programs: &'a [CString],
    pub(crate) argv: &'a [CString],
    pub(crate) envp: &'a [CString],
    pub(crate) cwd: &'a CStr,
    pub(crate) stdin: BorrowedFd<'a>,
    pub(crate) stdout: BorrowedFd<'a>,
    pub(crate) stderr: BorrowedFd<'a>,
    /// Closed first: a child that held it would hold the session.
    pub(crate) lock: BorrowedFd<'a>,
    /// Where the errno of a failure goes; closed by a successful exec.
    pub(crate) report: BorrowedFd<'a>,
    pub(crate) umask: u32,
    /// What is written to `oom_score_adj`.
    pub(crate) oom_score: &'a [u8],
}

/// The step of a start that failed, as the child reports it: one byte, then four of errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartStep {
    Orphaned = 1,
    Streams = 2,
    WorkingDir = 3,
    Exec = 4,
}

/// The size of a failure report.
pub(crate) const START_REPORT_BYTES: usize = 5;

/// Reads a failure report.
pub(crate) fn parse_start_report(report: &[u8]) -> Option<(StartStep, io::Error)> {
    let (&[step], errno) = report.split_first_chunk::<1>()?;
    let errno = i32::from_ne_bytes(*errno.first_chunk::<4>()?);
    let step = [StartStep::Orphaned, StartStep::Streams, StartStep::WorkingDir, StartStep::Exec]
        .into_iter()
        .find(|known| *known as u8 == step)?;
    Some((step, io::Error::from_raw_os_error(errno)))
}

/// Forks and executes. The answer is the child's pid; whether the exec succeeded comes by `report`.
///
/// Only for a process with a single thread: then the child may do what it likes before exec, and the
/// parent-death signal (which is tied to the forking *thread*) is tied to the process.
pub(crate) fn fork_agent(plan: &AgentPlan<'_>) -> io::Result<i32> {
    let argv = null_terminated(plan.argv);
    let envp = null_terminated(plan.envp);
    // SAFETY: no memory is involved.
    let parent = unsafe { libc::getpid() };
    // SAFETY: this process has one thread, so the child's copy of the memory is in a consistent state.
    match check(unsafe { libc::fork() })? {
        0 => {
            let (step, errno) = become_agent(plan, parent, &argv, &envp);
            let code = errno.to_ne_bytes();
            let report = [step as u8, code[0], code[1], code[2], code[3]];
            // SAFETY: the buffer lives for the call. Nothing more can be done if it fails.
            unsafe { libc::write(plan.report.as_raw_fd(), report.as_ptr().cast(), report.len()) };
            // SAFETY: ends this child at once, without running anything of the parent's.
            unsafe { libc::_exit(127) }
        }
        pid => Ok(pid),
    }
}

fn null_terminated(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// What the child does between fork and exec; returns only if something failed.
fn become_agent(
    plan: &AgentPlan<'_>,
    parent: libc::pid_t,
    argv: &[*const c_char],
    envp: &[*const c_char],
) -> (StartStep, i32) {
    let errno = || io::Error::last_os_error().raw_os_error().unwrap_or(0);
    // SAFETY: no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // If the supervisor died before that call, its death will never be told.
    // SAFETY: no memory is involved.
    if unsafe { libc::getppid() } != parent {
        return (StartStep::Orphaned, libc::ESRCH);
    }
    // SAFETY: this process's copy of the descriptor is not used again.
    unsafe { libc::close(plan.lock.as_raw_fd()) };
    // SAFETY: no memory is involved. It cannot fail: a fresh child leads no group.
    unsafe { libc::setsid() };
    for (from, to) in [(plan.stdin, 0), (plan.stdout, 1), (plan.stderr, 2)] {
        if replace_standard_fd(from, to).is_err() {
            return (StartStep::Streams, errno());
        }
    }
    raise_oom_score(plan.oom_score);
    reset_dispositions();
    umask(plan.umask);
    // SAFETY: the path ends in NUL.
    if unsafe { libc::chdir(plan.cwd.as_ptr()) } != 0 {
        return (StartStep::WorkingDir, errno());
    }
    set_signal_mask(&empty_set());
    // As execvp does: the first that can be executed; "permission denied" is worth more than "not found".
    let mut worst = libc::ENOENT;
    for program in plan.programs {
        // SAFETY: program and both lists end in NUL and NULL and live until the image is replaced.
        unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        match errno() {
            libc::ENOENT | libc::ENOTDIR => {}
            // A folder on PATH that may not be searched says nothing about the program.
            libc::EACCES => {
                if plan.programs.len() == 1 || exists(program) {
                    worst = libc::EACCES;
                }
            }
            other => return (StartStep::Exec, other),
        }
    }
    (StartStep::Exec, worst)
}

fn exists(path: &CStr) -> bool {
    // SAFETY: the path ends in NUL.
    unsafe { libc::access(path.as_ptr(), libc::F_OK) == 0 }
}

/// Gives every signal its default action: an ignored one would stay ignored over exec. By the kernel's call, because the
/// C library's refuses the two signals that it keeps for itself, and whoever started us may have ignored those too.
fn reset_dispositions() {
    // The kernel's `struct sigaction`: all zero is SIG_DFL, no flags, an empty mask.
    let default = [0_u64; 4];
    let no_old = std::ptr::null_mut::<u64>();
    for signal in 1..=64 {
        // SAFETY: the kernel reads a `struct sigaction` (32 bytes at most); 8 is the size of its signal sets.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), no_old, 8_usize) };
    }
}

/// If memory runs out, the kernel is to shoot the agent, not its undertaker. Raising is always permitted.
fn raise_oom_score(score: &[u8]) {
    // SAFETY: the path ends in NUL.
    let fd = unsafe { libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    if fd >= 0 {
        // SAFETY: the buffer lives for the call.
        unsafe { libc::write(fd, score.as_ptr().cast(), score.len()) };
        // SAFETY: the descriptor was opened above.
        unsafe { libc::close(fd) };
    }
}
