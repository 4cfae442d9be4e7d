//! Archives: whole, or none.

use std::io::Write as _;

use super::*;

struct Scene {
    dir: tempfile::TempDir,
    source: Source,
}

const BLOB: &[u8] = b"what an agent delivered";

fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("copy.db"), "the database").unwrap();
    let sha256 = sha256_of(BLOB);
    let blob = at("blobs").join(blob_path(&sha256));
    std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
    std::fs::write(blob, BLOB).unwrap();
    std::fs::write(at("mozi.toml"), "[runner]\n").unwrap();
    std::fs::create_dir_all(at("prompts/app")).unwrap();
    std::fs::write(at("prompts/app/executor.md"), "Do it.").unwrap();
    let named = NamedBlob { sha256, size_bytes: BLOB.len() as u64 };
    let source = Source {
        database: at("copy.db"),
        contents: Contents { board_id: "b".into(), format: 2, blobs: vec![named], ..Contents::default() },
        blobs: at("blobs"),
        config: Some(at("mozi.toml")),
        prompts: Some(at("prompts")),
        made_at: Timestamp::from_micros(1_700_000_000_000_000),
    };
    Scene { dir, source }
}

impl Scene {
    fn written(&self) -> (Vec<u8>, Manifest) {
        let mut bytes = Vec::new();
        let manifest = write(&self.source, &mut bytes).unwrap();
        (bytes, manifest)
    }
}

#[track_caller]
fn refused(bytes: &[u8]) -> String {
    read(bytes, &Look).unwrap_err().to_string()
}

#[test]
fn what_was_written_is_what_is_read() {
    let scene = scene();
    let (bytes, manifest) = scene.written();
    let opened = read(bytes.as_slice(), &Look).unwrap();
    assert_eq!(opened.manifest, manifest);
    assert_eq!((manifest.blobs, manifest.damaged.len(), manifest.files.len()), (1, 0, 4));
    assert_eq!(manifest.head.made_at, "2023-11-14T22:13:20Z");
    assert_eq!(opened.config.keys().collect::<Vec<_>>(), ["mozi.toml", "prompts/app/executor.md"]);
    assert_eq!(opened.config["mozi.toml"], b"[runner]\n");
}

struct Into(PathBuf);

impl Sink for Into {
    fn database(&self) -> Option<PathBuf> {
        Some(self.0.join("db"))
    }
    fn blob(&self, sha256: &str) -> Option<PathBuf> {
        Some(self.0.join("b").join(blob_path(sha256)))
    }
}

#[test]
fn files_go_where_they_are_sent() {
    let scene = scene();
    let (bytes, _) = scene.written();
    let to = scene.dir.path().join("to");
    read(bytes.as_slice(), &Into(to.clone())).unwrap();
    assert_eq!(std::fs::read(to.join("db")).unwrap(), b"the database");
    assert_eq!(std::fs::read(to.join("b").join(blob_path(&sha256_of(BLOB)))).unwrap(), BLOB);
}

/// Wherever it is cut, it is refused: an archive is whole or it is none.
#[test]
fn an_archive_that_was_cut_off_is_refused() {
    let (bytes, _) = scene().written();
    // What stands behind the manifest is the two empty blocks of every tar file.
    let whole = bytes.len() - 1024;
    for cut in (0..whole - 511).step_by(97).chain([whole - 512]) {
        assert!(read(&bytes[..cut], &Look).is_err(), "cut at {cut} of {}", bytes.len());
    }
    assert!(refused(&bytes[..2000]).contains("incomplete"), "{}", refused(&bytes[..2000]));
}

/// Whichever byte of a content is changed, it is noticed.
#[test]
fn a_changed_byte_is_noticed() {
    let (bytes, _) = scene().written();
    for text in ["the database", "what an agent delivered", "[runner]", "Do it."] {
        let at = bytes.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let said = refused(&changed);
        assert!(said.contains("damaged") && said.contains("not what"), "{text}: {said}");
    }
}

#[test]
fn a_blob_that_is_missing_or_not_itself_is_told_and_the_rest_is_saved() {
    let scene = scene();
    let blob = scene.source.blobs.join(blob_path(&sha256_of(BLOB)));
    std::fs::write(&blob, BLOB.to_ascii_uppercase()).unwrap();
    let (bytes, manifest) = scene.written();
    assert_eq!(manifest.damaged, [sha256_of(BLOB)]);
    assert_eq!(read(bytes.as_slice(), &Look).unwrap().manifest.damaged, manifest.damaged);
    for now in [Some(&b"short"[..]), None] {
        match now {
            Some(bytes) => std::fs::write(&blob, bytes).unwrap(),
            None => std::fs::remove_file(&blob).unwrap(),
        }
        let (bytes, manifest) = scene.written();
        assert_eq!((manifest.damaged.len(), manifest.files.len()), (1, 3));
        assert!(read(bytes.as_slice(), &Look).is_ok());
    }
}

fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        // Written as it stands: the library itself would refuse `..`.
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn what_is_no_backup_is_not_taken_for_one() {
    assert!(refused(b"").contains("no backup"));
    assert!(refused(b"a text that is no archive at all, long or short").contains("no backup"));
    assert!(refused(&tar_of(&[("readme", b"x")])).contains("no backup"));
    let newer = refused(&tar_of(&[(HEAD, br#"{"format":9,"version":"7.1"}"#)]));
    assert!(newer.contains("7.1") && newer.contains("number 9"), "{newer}");
    assert!(refused(&tar_of(&[(HEAD, b"{")])).contains("damaged"));
}

#[test]
fn no_path_leads_out_of_where_files_belong() {
    let scene = scene();
    let head = br#"{"format":1,"version":"1","board_id":"b","database_format":2,"made_at":"x"}"#;
    let to = scene.dir.path().join("out");
    for path in [
        "../../escape",
        "/etc/passwd",
        "config/../../escape",
        "config/other.toml",
        "blobs/ab/../../escape",
        "blobs/aa/short",
        "mozi.db/x",
        "prompts/x",
    ] {
        let bytes = tar_of(&[(HEAD, head), (path, b"x")]);
        let said = read(bytes.as_slice(), &Into(to.clone())).unwrap_err().to_string();
        assert!(said.contains("does not belong"), "{path}: {said}");
    }
    assert!(!to.exists());
}

#[test]
fn a_full_disk_is_told_as_what_it_is() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut buffered = io::BufWriter::new(Full);
    let e = write(&scene().source, &mut buffered).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::StorageFull);
    drop(buffered.into_parts());
    let mut bytes = Vec::new();
    bytes.write_all(b"x").unwrap();
}
