//! The client over TLS. The certificate and its key, made for this test, protect nothing.

use std::sync::Arc;

use mozi_api::{Client, ClientError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    },
};

/// Which certificates are trusted is read from the environment, which a test must not change under its neighbours:
/// hence a process of its own.
#[expect(clippy::disallowed_methods, reason = "a test starts itself once more")]
fn myself(test: &str, trusted: &str) -> std::process::Output {
    let mut command = std::process::Command::new(std::env::current_exe().expect("the path of this test"));
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR").output().expect("this test runs")
}

#[test]
fn a_certificate_that_is_trusted_is_taken_and_no_other() {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/cert.pem");
    let output = myself("tls::with_the_environments_certificates", own);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    let output = myself("tls::with_no_certificates", "/nowhere");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn with_the_environments_certificates() {
    let certificate = CertificateDer::from(include_bytes!("tls/cert.der").to_vec());
    let key = PrivatePkcs8KeyDer::from(include_bytes!("tls/key.der").to_vec());
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate], key.into()).expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = async {
        // The second caller asks for another name than the certificate's and goes away again.
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.expect("a caller");
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut head).await.expect("a request"), 0);
            }
            let body = r#"{"version": "0.1.0", "api": 1}"#;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.expect("a reader");
            stream.shutdown().await.expect("a reader");
        }
    };
    let caller = async {
        let client = Client::new(&format!("https://localhost:{port}"), None).expect("a client");
        assert_eq!(client.version().await.expect("an answer").api, 1);
        let client = Client::new(&format!("https://127.0.0.1:{port}"), None).expect("a client");
        let error = client.version().await.expect_err("another name");
        assert!(matches!(&error, ClientError::Unreachable { not_sent: true, .. }), "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    };
    tokio::join!(server, caller);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn with_no_certificates() {
    let error = Client::new("https://localhost:1", None).expect_err("nothing is trusted");
    assert!(error.to_string().contains("the certificates of this machine cannot be read"), "{error}");
}
