//! Outputs: in JSON, as files, by a path; and back.

use std::path::Path;

use http::Method;
use serde_json::json;

use crate::support::{OPERATOR, Reply, TestBoard};

fn files(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(files(&path));
        } else {
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    names
}

fn multipart(parts: &[(&str, Option<&str>, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, file, bytes) in parts {
        let file = file.map(|f| format!("; filename=\"{f}\"")).unwrap_or_default();
        body.extend(format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes());
        body.extend_from_slice(bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    ("multipart/form-data; boundary=XX".to_owned(), body)
}

#[tokio::test]
async fn a_file_is_uploaded_and_given_back_in_parts() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let large: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let parts: &[(&str, Option<&str>, &[u8])] = &[
        ("type", None, b"data"),
        ("title", None, "数据".as_bytes()),
        ("summary", None, b"many bytes"),
        ("mood", None, b"good"),
        ("file", Some("../dir/墨.bin"), &large),
    ];
    let (content_type, body) = multipart(parts);
    let upload = async || {
        let ask = board.ask(&Method::POST, &run.at("/outputs")).token(&run.token);
        ask.header("idempotency-key", "u1").raw(&content_type, body.clone()).send().await
    };
    let first = upload().await;
    let made = first.expect(201);
    assert_eq!(made["size_bytes"], 300_000);
    assert!(made["warnings"].to_string().contains("mood"));
    // Sent again, with the same key: one output, one blob.
    assert_eq!(upload().await.expect(201), made);
    assert_eq!(files(&board.dir.path().join("blobs")), [made["sha256"].as_str().unwrap()]);
    let task = board.get(&run.at("?expand=outputs"), OPERATOR).await.expect(200);
    assert_eq!(task["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(task["outputs"][0]["file_name"], "墨.bin");

    let path = run.at("/outputs/1/content");
    let whole = board.get(&path, OPERATOR).await;
    assert_eq!(whole.status, 200);
    assert_eq!(whole.bytes, large);
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    assert_eq!(whole.header("content-length"), "300000");
    assert_eq!(
        whole.header("content-disposition"),
        "attachment; filename=\"_.bin\"; filename*=UTF-8''%E5%A2%A8.bin"
    );
    let tag = whole.header("etag").to_owned();
    let range = async |range: &str, if_range: Option<&str>| -> Reply {
        let ask = board.ask(&Method::GET, &path).token(OPERATOR).header("range", range);
        match if_range {
            Some(tag) => ask.header("if-range", tag).send().await,
            None => ask.send().await,
        }
    };
    for (asked, from, to) in [
        ("bytes=0-99", 0, 100),
        ("bytes=299990-", 299_990, 300_000),
        ("bytes=-5", 299_995, 300_000),
        ("bytes=1000-999999999", 1000, 300_000),
    ] {
        let part = range(asked, None).await;
        assert_eq!(part.status, 206, "{asked}");
        assert_eq!(part.bytes, large[from..to], "{asked}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/300000", to - 1));
    }
    assert_eq!(range("bytes=0-99", Some(&tag)).await.status, 206);
    for whole in [
        range("bytes=0-99", Some("\"other\"")).await,
        range("bytes=0-1,5-6", None).await,
        range("lines=1-2", None).await,
    ] {
        assert_eq!((whole.status.as_u16(), whole.bytes.len()), (200, 300_000));
    }
    let none = range("bytes=300000-", None).await;
    none.refused(416, "invalid_range");
    assert_eq!(none.header("content-range"), "bytes */300000");
    let head = board.ask(&Method::HEAD, &path).token(OPERATOR).send().await;
    assert_eq!((head.status.as_u16(), head.bytes.len(), head.header("content-length")), (200, 0, "300000"));
}

#[tokio::test]
async fn what_is_refused_leaves_no_file() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let blobs = board.dir.path().join("blobs");
    let large = vec![b'x'; 100_000];
    let upload = async |parts: &[(&str, Option<&str>, &[u8])]| {
        let (content_type, body) = multipart(parts);
        board.ask(&Method::POST, &run.at("/outputs")).token(&run.token).raw(&content_type, body).send().await
    };
    upload(&[("type", None, b"poem"), ("title", None, b"t"), ("file", Some("f"), &large)])
        .await
        .refused(422, "invalid_body");
    upload(&[("file", Some("f"), &large), ("title", None, b"t")]).await.refused(422, "invalid_body");
    upload(&[("file", Some("f"), &large), ("type", None, b"code"), ("title", None, b"a\nb")])
        .await
        .refused(422, "invalid_body");
    upload(&[("type", None, b"code"), ("title", None, b"t")]).await.refused(422, "invalid_body");
    upload(&[("file", Some("f"), &large), ("file", Some("g"), &large)]).await.refused(422, "invalid_body");
    let bad = board.ask(&Method::POST, &run.at("/outputs")).token(&run.token);
    bad.raw("multipart/form-data; boundary=XX", "no boundary").send().await.refused(400, "invalid_body");
    // A token that has nothing to write here; its bytes came before it was known.
    let (content_type, body) =
        multipart(&[("type", None, b"code"), ("title", None, b"t"), ("file", Some("f"), &large)]);
    let stranger = board.claimed(&json!({})).await;
    let ask = board.ask(&Method::POST, &run.at("/outputs")).token(&stranger.token).raw(&content_type, body);
    ask.send().await.refused(404, "not_found");
    assert_eq!(files(&blobs), Vec::<String>::new());
}

#[tokio::test]
async fn a_path_is_opened_by_the_runner_for_the_attempt_only() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let file = board.dir.path().join("result.txt");
    std::fs::write(&file, vec![b'r'; 40_000]).unwrap();
    board.files.outputs.lock().unwrap().insert("out/result.txt".to_owned(), file.clone());
    let add = async |path: &str, token: &str| {
        let body = json!({ "type": "document", "title": "t", "content_path": path });
        board.post(&run.at("/outputs"), token, &body).await
    };
    let made = add("out/result.txt", &run.token).await.expect(201);
    assert_eq!(made["size_bytes"], 40_000);
    assert_eq!(*board.files.opened.lock().unwrap(), [format!("{} out/result.txt", run.session)]);
    let task = board.get(&run.at("?expand=outputs"), OPERATOR).await.expect(200);
    assert_eq!(task["outputs"][0]["file_name"], "result.txt");

    // A repetition is answered as then, whatever has become of the file; another body is none.
    let keyed = async |title: &str| {
        let body = json!({ "type": "document", "title": title, "content_path": "out/result.txt" });
        let ask = board.ask(&Method::POST, &run.at("/outputs")).token(&run.token);
        let body = body.to_string().into_bytes();
        ask.header("idempotency-key", "p1").raw("application/json", body).send().await
    };
    let first = keyed("keyed").await.expect(201);
    board.files.outputs.lock().unwrap().remove("out/result.txt");
    let again = keyed("keyed").await;
    assert_eq!((again.header("idempotency-replayed"), again.expect(201)), ("true", first));
    keyed("another").await.refused(409, "idempotency_conflict");
    board.files.outputs.lock().unwrap().insert("out/result.txt".to_owned(), file.clone());

    add("../secret", &run.token).await.refused(422, "path_refused");
    add("none", &run.token).await.refused(422, "path_refused");
    let opened = board.files.opened.lock().unwrap().len();
    add("out/result.txt", OPERATOR).await.refused(422, "path_refused");
    let stranger = board.claimed(&json!({})).await;
    add("out/result.txt", &stranger.token).await.refused(404, "not_found");
    add("out/result.txt", "mozi_a_unknown").await.refused(401, "unauthenticated");
    assert_eq!(board.files.opened.lock().unwrap().len(), opened, "nothing was opened for them");
    *board.files.gone.lock().unwrap() = true;
    let gone = add("out/result.txt", &run.token).await;
    gone.refused(503, "unavailable");
    assert_eq!(gone.header("retry-after"), "1");
    *board.files.gone.lock().unwrap() = false;
    std::fs::File::create(&file).unwrap().set_len(64 * 1024 * 1024 + 1).unwrap();
    add("out/result.txt", &run.token).await.refused(413, "payload_too_large");
}

#[tokio::test]
async fn contents_at_the_limits() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let add = async |content: &str| {
        let body = json!({ "type": "other", "title": "t", "content": content });
        board.post(&run.at("/outputs"), &run.token, &body).await
    };
    let blobs = || files(&board.dir.path().join("blobs")).len();
    add(&"i".repeat(32 * 1024)).await.expect(201);
    assert_eq!(blobs(), 0, "small contents are kept in the database");
    add(&"b".repeat(32 * 1024 + 1)).await.expect(201);
    assert_eq!(blobs(), 1);
    add("").await.expect(201);
    let sizes = [32 * 1024, 32 * 1024 + 1, 0];
    for (id, size) in (1..).zip(sizes) {
        let back = board.get(&run.at(&format!("/outputs/{id}/content")), &run.token).await;
        assert_eq!((back.status.as_u16(), back.bytes.len()), (200, size));
    }
    add(&"x".repeat(64 * 1024 * 1024 + 1)).await.refused(413, "payload_too_large");
}
