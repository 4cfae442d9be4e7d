//! Outputs with a file: `multipart/form-data`.

use bytes::Bytes;
use http::{HeaderValue, header};

use super::{Call, ClientError};
use crate::report::OutputUpload;

/// A file and what goes with it.
#[derive(Debug, Clone)]
pub struct Upload {
    /// What goes with it.
    pub about: OutputUpload,
    /// What it is called, without its folder.
    pub file_name: String,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Upload {
    /// The body and its content type: kept as they are for a later delivery, they are the same request.
    pub fn encode(&self) -> (String, Bytes) {
        let boundary = self.boundary();
        let mut body = Vec::with_capacity(self.bytes.len().saturating_add(1024));
        let mut field = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                body.extend_from_slice(
                    format!(
                        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                    )
                    .as_bytes(),
                );
            }
        };
        field("type", Some(self.about.output_type.as_str()));
        field("title", Some(&self.about.title));
        field("summary", self.about.summary.as_deref());
        field("agent", self.about.agent.as_deref());
        // As browsers do: a quote or a line's end would end the name.
        let name = self.file_name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        body.extend_from_slice(
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
            )
            .as_bytes(),
        );
        body.extend_from_slice(&self.bytes);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        (format!("multipart/form-data; boundary={boundary}"), body.into())
    }

    /// A line that stands nowhere in the upload.
    fn boundary(&self) -> String {
        let holds = |needle: &str| {
            let n = needle.as_bytes();
            let text =
                [Some(self.about.title.as_str()), self.about.summary.as_deref(), self.about.agent.as_deref()];
            text.into_iter().flatten().any(|t| t.contains(needle))
                || self.bytes.windows(n.len()).any(|w| w == n)
        };
        let mut boundary = "mozi-boundary".to_owned();
        let mut count = 0_u32;
        while holds(&boundary) {
            count = count.wrapping_add(1);
            boundary = format!("mozi-boundary-{count:x}-{}", self.bytes.len());
        }
        boundary
    }
}

impl Call {
    pub(super) fn upload(mut self, upload: &Upload) -> Result<Self, ClientError> {
        let (content_type, body) = upload.encode();
        let value = HeaderValue::from_str(&content_type).map_err(|e| ClientError::Unusable(e.to_string()))?;
        self.headers.insert(header::CONTENT_TYPE, value);
        self.body = crate::transport::full(body);
        Ok(self)
    }
}
