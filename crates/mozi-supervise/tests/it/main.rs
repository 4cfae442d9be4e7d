//! The supervisor by real processes: every test starts what it needs, ends it, and looks that nothing is left.

#[cfg(test)]
mod control;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod help;
#[cfg(test)]
mod hold;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod life;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod output;
