//! The real server.

use bytes::Bytes;
use camino::Utf8Path;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Method, Response, redirect};

use super::ApiProxyError;

/// The server that calls are passed on to.
pub(super) struct Upstream {
    client: Client,
    /// `https://host:port`, without a slash at its end.
    url: String,
}

impl Upstream {
    /// The server that the current context of a kubeconfig names.
    pub(super) async fn of(path: &Utf8Path) -> Result<Self, ApiProxyError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ApiProxyError::Kubeconfig {
            path: path.to_owned(),
            source,
        };
        let kubeconfig = Kubeconfig::read_from(path).map_err(|source| failed(Box::new(source)))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|source| failed(Box::new(source)))?;
        let mut client = Client::builder()
            .no_proxy()
            .http1_only()
            .redirect(redirect::Policy::none());
        if let Some(authorities) = &config.root_cert {
            let authorities = authorities
                .iter()
                .map(|der| Certificate::from_der(der))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|source| failed(Box::new(source)))?;
            client = client.tls_certs_only(authorities);
        }
        let client = client.build().map_err(|source| failed(Box::new(source)))?;
        Ok(Self {
            client,
            url: config
                .cluster_url
                .to_string()
                .trim_end_matches('/')
                .to_owned(),
        })
    }

    /// Sends a call; ends with the head of the answer.
    pub(super) async fn send(
        &self,
        method: Method,
        path_and_query: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> reqwest::Result<Response> {
        self.client
            .request(method, format!("{}{path_and_query}", self.url))
            .headers(headers)
            .body(body)
            .send()
            .await
    }
}

/// Bytes in the alphabet of RFC 4648 section 4, padded: a kubeconfig holds certificates so.
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            if index <= chunk.len() {
                text.push(char::from(ALPHABET[(bits >> shift) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 4648 section 10.
    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
