//! The calls of whoever keeps house.
#![expect(clippy::missing_errors_doc, reason = "every call fails as `ClientError` says and in no other way")]

use std::time::Duration;

use http::Method;

use super::{ByteStream, Call, Client, ClientError};
use crate::house::GcReport;

/// So long a copy of the database, or a look at all files, may take before the answer begins.
const LONG: Duration = Duration::from_hours(6);

impl Client {
    /// A backup of the whole board, as a tar file.
    pub async fn backup(&self) -> Result<ByteStream, ClientError> {
        let mut call = Call::get("/api/backup");
        call.waits = LONG;
        self.bytes(call).await
    }
    /// What may go.
    pub async fn gc_report(&self) -> Result<GcReport, ClientError> {
        let mut call = Call::get("/api/gc");
        call.waits = LONG;
        self.json(call).await
    }
    /// Removes what may go.
    pub async fn gc(&self) -> Result<GcReport, ClientError> {
        let mut call = Call::new(Method::DELETE, "/api/gc");
        call.waits = LONG;
        self.json(call).await
    }
}
