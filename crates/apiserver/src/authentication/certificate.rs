//! Client certificates: whom they name, if the cluster's authority signed them. The handshake itself refuses nobody, so
//! that a stranger gets an answer (401) instead of a broken connection; what was shown is judged here.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::UserInfo;

/// Judges client certificates by the authorities it knows.
#[derive(Clone, Debug)]
pub struct ClientCertificates(Option<Arc<dyn ClientCertVerifier>>);

/// A certificate of an authority we know, and until when it is valid.
#[derive(Clone, Debug)]
pub(crate) struct Certified {
    pub(crate) user: UserInfo,
    /// Seconds of the epoch.
    pub(crate) until: i64,
}

impl ClientCertificates {
    /// Trusts certificates signed by one of these authorities.
    pub fn new(authorities: RootCertStore) -> Result<Self, rustls::server::VerifierBuilderError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
            .allow_unauthenticated()
            .build()
            .map(|verifier| Self(Some(verifier)))
    }

    /// Trusts nobody.
    pub fn none() -> Self {
        Self(None)
    }

    /// For the TLS side: asks clients for a certificate and takes any, as long as the client has its key.
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        match &self.0 {
            Some(verifier) => Arc::new(Unjudged(verifier.clone())),
            None => WebPkiClientVerifier::no_client_auth(),
        }
    }

    /// Whom a chain of certificates names; `None` when it is not of our authorities, expired or names nobody.
    pub(crate) fn identify(&self, chain: &[CertificateDer<'_>]) -> Option<Certified> {
        let (own, others) = chain.split_first()?;
        let verifier = self.0.as_ref()?;
        if let Err(error) = verifier.verify_client_cert(own, others, UnixTime::now()) {
            tracing::debug!(%error, "a client certificate is refused");
            return None;
        }
        let (_, certificate) = X509Certificate::from_der(own).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        if name.is_empty() {
            return None;
        }
        let groups = subject
            .iter_organization()
            .filter_map(|o| o.as_str().ok().map(ToOwned::to_owned))
            .collect();
        let fingerprint = format!("X509SHA256={}", hex::encode(Sha256::digest(own)));
        let extra = [(
            "authentication.kubernetes.io/credential-id".to_owned(),
            vec![fingerprint],
        )];
        let user = UserInfo {
            name,
            groups,
            extra: extra.into(),
            ..UserInfo::default()
        };
        Some(Certified {
            user: user.authenticated(),
            until: certificate.validity().not_after.timestamp(),
        })
    }
}

/// Checks that the client has the key of its certificate, and nothing else.
#[derive(Debug)]
struct Unjudged(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Unjudged {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _own: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
