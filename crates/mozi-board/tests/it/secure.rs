//! The board over TLS. The certificate and its key, made for this test, protect nothing.

use std::{sync::Arc, time::Duration};

use mozi_board::{Limits, serve};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName},
    },
};

use crate::support::{TestBoard, VIEWER};

#[tokio::test]
async fn requests_over_tls_and_noise_in_its_place() {
    let certificate = CertificateDer::from(include_bytes!("tls/cert.der").to_vec());
    let key = PrivatePkcs8KeyDer::from(include_bytes!("tls/key.der").to_vec());
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.clone()], key.into()).unwrap();

    let board = TestBoard::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let limits = Limits { header_timeout: Duration::from_secs(5), ..Limits::default() };
    let shutdown = async move { drop(stopped.await) };
    let server = serve(board.router.clone(), listener, Some(Arc::new(config)), limits, shutdown);

    let talk = async {
        // Not TLS: closed without an answer in clear.
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut noise = Vec::new();
        drop(plain.read_to_end(&mut noise).await);
        assert!(!noise.starts_with(b"HTTP"), "{noise:?}");

        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
        let request = format!(
            "GET /api/projects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {VIEWER}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("\"project_id\":\"default\""), "{answer}");
        drop(stop);
    };
    let (served, ()) =
        tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(server, talk) }).await.unwrap();
    served.unwrap();
}
