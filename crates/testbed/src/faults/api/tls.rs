//! The proxy's own certificate: client libraries send no credentials without TLS.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::ApiProxyError;

/// What terminates TLS, and what a client trusts.
pub(super) struct Tls {
    pub(super) acceptor: TlsAcceptor,
    /// The certificate, PEM.
    pub(super) authority: String,
}

impl Tls {
    /// A certificate for the loopback address that nobody else vouches for.
    pub(super) fn new() -> Result<Self, ApiProxyError> {
        fn failed(source: impl std::error::Error + Send + Sync + 'static) -> ApiProxyError {
            ApiProxyError::Certificate {
                source: Box::new(source),
            }
        }
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).map_err(failed)?;
        let certificate = CertificateDer::from(made.cert.der().to_vec());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .map_err(failed)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            authority: made.cert.pem(),
        })
    }
}
