//! Links without PIE where that is possible: hundreds of supervisors of this very binary may run at once, and
//! relocations would cost each of them some 300 KiB of private memory.

#![expect(clippy::disallowed_methods, reason = "how Cargo talks with build scripts")]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    let is_static = of("CARGO_CFG_TARGET_FEATURE").split(',').any(|f| f == "crt-static");
    if of("CARGO_CFG_TARGET_OS") == "linux" && of("CARGO_CFG_TARGET_ENV") == "gnu" && !is_static {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
