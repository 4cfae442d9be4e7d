//! Certificate and key.

use std::{path::Path, sync::Arc};

use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::{
    config::Tls,
    error::{Failure, Result},
};

pub(super) fn load(tls: &Tls) -> Result<Arc<ServerConfig>> {
    let unusable = |what: &str, path: &Path, why: &dyn std::fmt::Display| {
        Failure::new(format!("could not use the {what} {}: {why}", path.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&tls.cert)
        .and_then(Iterator::collect)
        .map_err(|e| unusable("certificate", &tls.cert, &e))?;
    if chain.is_empty() {
        return Err(unusable("certificate", &tls.cert, &"there is none in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|e| unusable("key", &tls.key, &e))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::new(format!("could not set up TLS: {e}")))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| unusable("certificate", &tls.cert, &e))?;
    Ok(Arc::new(config))
}
