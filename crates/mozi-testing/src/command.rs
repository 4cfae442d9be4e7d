//! Processes that tests start.

use std::{
    ffi::OsStr,
    io,
    ops::{Deref, DerefMut},
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use crate::clean_env;

/// A program with a clean environment and without standard input.
#[expect(clippy::disallowed_methods, reason = "tests start programs; the environment is clean here")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(clean_env()).stdin(Stdio::null());
    command
}

/// A child that is killed and reaped when its test ends, however that ends.
#[derive(Debug)]
pub struct Guarded(Option<Child>);

impl Guarded {
    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|e| panic!("could not start {command:?}: {e}"));
        Self(Some(child))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the system cannot wait for it.
    ///
    /// # Panics
    /// When it was waited for before.
    #[expect(clippy::disallowed_methods, reason = "the child of a test has no other waiter")]
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        self.0.take().expect("a child that nobody has waited for").wait()
    }

    /// Waits for its end and what it has printed.
    ///
    /// # Errors
    /// When the system cannot wait for it.
    ///
    /// # Panics
    /// When it was waited for before.
    pub fn output(mut self) -> io::Result<Output> {
        self.0.take().expect("a child that nobody has waited for").wait_with_output()
    }

    /// Kills it with SIGKILL and reaps it.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(mut self) -> io::Result<()> {
        self.end()
    }

    #[expect(clippy::disallowed_methods, reason = "the child of a test has no other waiter")]
    fn end(&mut self) -> io::Result<()> {
        let Some(mut child) = self.0.take() else { return Ok(()) };
        child.kill()?;
        child.wait().map(drop)
    }
}

impl Deref for Guarded {
    type Target = Child;
    fn deref(&self) -> &Child {
        self.0.as_ref().expect("a child that nobody has waited for")
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut Child {
        self.0.as_mut().expect("a child that nobody has waited for")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The test has ended: there is nobody left to tell.
        drop(self.end());
    }
}
