//! Where things lie that Cargo has built.

use std::path::{Path, PathBuf};

/// A binary of this workspace in the target folder of the running test.
///
/// # Panics
/// When it has not been built: `cargo test` of one crate does not build the binaries of another.
pub fn built_binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of the running test");
    let profile = test.ancestors().find(|p| p.ends_with("deps")).and_then(Path::parent);
    let found = profile.map(|p| p.join(name)).filter(|p| p.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: run `cargo build -p {name}` first"))
}

/// The root of the workspace.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
