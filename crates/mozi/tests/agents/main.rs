//! Real agent programs against a model on this machine that does what the prompt says. Run by scripts/test-agents,
//! which installs them; not part of `cargo test`.

#[path = "../it/support.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use more of it")]
mod support;

mod clis;
mod lab;
mod openclaw;
