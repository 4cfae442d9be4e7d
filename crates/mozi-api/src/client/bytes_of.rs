//! Answers that are read piece by piece.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::BodyExt;

use super::ClientError;
use crate::transport::Body;

/// Bytes of an answer as they come: a log, an output's content.
#[derive(Debug)]
pub struct ByteStream {
    address: String,
    headers: HeaderMap,
    body: Body,
}

impl ByteStream {
    pub(crate) fn new(address: String, answer: Response<Body>) -> Self {
        let (head, body) = answer.into_parts();
        Self { address, headers: head.headers, body }
    }

    /// The headers of the answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The next piece; none at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => {}
                },
                Some(Err(source)) => {
                    let address = self.address.clone();
                    return Err(ClientError::Unreachable { address, not_sent: false, source });
                }
            }
        }
    }

    /// All that is left.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn rest(mut self) -> Result<Vec<u8>, ClientError> {
        let mut all = Vec::new();
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}
