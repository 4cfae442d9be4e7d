//! Whether the outputs that lie in files are there, and are what was delivered.

use std::path::Path;

use mozi_store::{NamedBlob, Store};

use super::Report;
use crate::{
    error::plain,
    house::archive::{blob_path, sha256_of_file},
};

/// So many are named.
const NAMED: usize = 20;

/// Looks at every file that the database names: whether it is there and of the right size, with `all` every byte.
pub(super) async fn check(report: &mut Report, data: &Path, store: &Store, all: bool) {
    let (database, blobs) = (data.join("mozi.db"), data.join("blobs"));
    let looked = tokio::task::spawn_blocking(move || {
        let named = mozi_store::contents(&database).map_err(|e| format!("could not {e}"))?.blobs;
        let wrong: Vec<(NamedBlob, String)> =
            named.iter().filter_map(|blob| Some((blob.clone(), fault(&blobs, blob, all)?))).collect();
        Ok::<_, String>((named.len(), wrong))
    });
    let (count, wrong) = match looked.await {
        Ok(Ok(found)) => found,
        Ok(Err(why)) => return report.wrong("outputs", why, "try again"),
        Err(e) => return report.wrong("outputs", e.to_string(), "try again"),
    };
    for (blob, why) in wrong.iter().take(NAMED) {
        let of = store.outputs_in(&blob.sha256).await.unwrap_or_default();
        let of: Vec<String> =
            of.iter().map(|(key, id)| format!("output {id} of {}/{}", key.project, key.task)).collect();
        report.wrong(
            "outputs",
            format!("{}: blob {} {why}", of.join(", "), blob.sha256),
            "a backup may have it: `mozi restore FILE --data NEW`, then copy it from NEW/blobs",
        );
    }
    match (wrong.len(), all) {
        (0, false) => report.ok("outputs", format!("all {count} that lie in files are there")),
        (0, true) => report.ok("outputs", format!("all {count} that lie in files are what was delivered")),
        (n, _) if n > NAMED => {
            report.wrong("outputs", format!("and {} more", n - NAMED), "the disk may be failing");
        }
        _ => {}
    }
}

/// What is wrong with a blob, if anything is.
fn fault(blobs: &Path, blob: &NamedBlob, all: bool) -> Option<String> {
    let path = blobs.join(blob_path(&blob.sha256));
    match std::fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Some("is missing".to_owned()),
        Err(e) => return Some(format!("cannot be looked at: {}", plain(&e))),
        Ok(m) if m.len() != blob.size_bytes => {
            return Some(format!("has {} bytes, not {}", m.len(), blob.size_bytes));
        }
        Ok(_) => {}
    }
    match all.then(|| sha256_of_file(&path))? {
        Ok(found) if found == blob.sha256 => None,
        Ok(_) => Some("is not what was delivered: its content has changed".to_owned()),
        Err(e) => Some(format!("cannot be read: {}", plain(&e))),
    }
}
