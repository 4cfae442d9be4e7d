//! The supervisor by real processes: every test starts what it needs, ends it, and looks that nothing is left.

mod control;
mod crash;
mod help;
mod hold;
mod kill;
mod life;
mod limits;
mod output;
