//! The product's promises, tried on the real binary with real processes.

mod faults;
mod life;
mod restart;
mod review;
mod rights;
mod support;
mod tidy;
