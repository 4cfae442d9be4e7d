//! A tiny server that says what a test wants.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method, path and version.
    pub(crate) line: String,
    /// The head's other lines, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// What a test answers with.
pub(crate) enum Answer {
    /// These bytes; the connection stays open.
    Keep(String),
    /// These bytes; then the connection is closed.
    Close(String),
    /// Nothing, for ever.
    Hang,
}

/// A status and a JSON body.
pub(crate) fn json(status: &str, body: &serde_json::Value) -> Answer {
    let body = body.to_string();
    let kind = if status.starts_with('2') { "application/json" } else { "application/problem+json" };
    Answer::Keep(format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (seen, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let answer = Arc::new(answer);
        let (all, count) = (Arc::clone(&seen), Arc::clone(&connections));
        let task = spawn(async move {
            // Connections end with the server.
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (all, answer) = (Arc::clone(&all), Arc::clone(&answer));
                open.spawn(async move { talk(stream, &all, &*answer).await });
            }
        });
        Self { url, seen, connections, task }
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic while it was held").clone()
    }
}

#[expect(clippy::disallowed_methods, reason = "a panic in the test's server shows as a failed request")]
fn spawn(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(future)
}

async fn talk(
    mut stream: TcpStream,
    all: &Mutex<Vec<Seen>>,
    answer: &(dyn Fn(usize, &Seen) -> Answer + Send + Sync),
) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let mut lines = head.lines();
        let line = lines.next().unwrap_or_default().to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|l| l.split_once(':'))
            .map(|(n, v)| (n.to_lowercase(), v.trim().to_owned()))
            .collect();
        let length =
            headers.iter().find(|(n, _)| n == "content-length").map_or(0, |(_, v)| v.parse().unwrap_or(0));
        while buffer.len() < end + 4 + length {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        let body = buffer[end + 4..end + 4 + length].to_vec();
        buffer.drain(..end + 4 + length);
        let seen = Seen { line, headers, body };
        let number = {
            let mut list = all.lock().ok()?;
            list.push(seen.clone());
            list.len()
        };
        match answer(number, &seen) {
            Answer::Keep(text) => stream.write_all(text.as_bytes()).await.ok()?,
            Answer::Close(text) => {
                stream.write_all(text.as_bytes()).await.ok()?;
                stream.shutdown().await.ok()?;
                return None;
            }
            Answer::Hang => std::future::pending().await,
        }
    }
}
