//! From a request to a certificate, by the rules of its signer. No clock and no API.

use jiff::{Timestamp, ToSpan};
use k8s_openapi::api::certificates::v1::CertificateSigningRequestSpec;
use rcgen::{
    CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

/// The longest life of a certificate.
const LONGEST: i64 = 365 * 24 * 60 * 60;

/// An authority that signs requests.
pub struct SigningAuthority {
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for SigningAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningAuthority")
    }
}

/// Why no certificate can be issued.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    /// The request itself cannot be read, or is not signed with its own key.
    #[error("the request cannot be used: {0}")]
    Request(String),
    /// The signer does not issue for what is asked.
    #[error("the signer does not issue this: {0}")]
    NotAllowed(String),
}

fn refused<T>(why: impl Into<String>) -> Result<T, SignError> {
    Err(SignError::NotAllowed(why.into()))
}

/// What a signer issues.
#[derive(Clone, Copy)]
enum Signer {
    /// `kubernetes.io/kube-apiserver-client`
    Client,
    /// `kubernetes.io/kube-apiserver-client-kubelet`
    Kubelet,
    /// `kubernetes.io/kubelet-serving`
    Serving,
}

impl Signer {
    fn named(name: &str) -> Option<Self> {
        match name {
            "kubernetes.io/kube-apiserver-client" => Some(Self::Client),
            "kubernetes.io/kube-apiserver-client-kubelet" => Some(Self::Kubelet),
            "kubernetes.io/kubelet-serving" => Some(Self::Serving),
            _ => None,
        }
    }

    fn usage(self) -> (&'static str, ExtendedKeyUsagePurpose) {
        match self {
            Self::Client | Self::Kubelet => ("client auth", ExtendedKeyUsagePurpose::ClientAuth),
            Self::Serving => ("server auth", ExtendedKeyUsagePurpose::ServerAuth),
        }
    }
}

impl SigningAuthority {
    /// From certificate and key, both PEM.
    pub fn new(certificate: &str, key: &str) -> Result<Self, rcgen::Error> {
        let issuer = Issuer::from_ca_cert_pem(certificate, KeyPair::from_pem(key)?)?;
        Ok(Self { issuer })
    }

    /// The certificate, PEM, that a request asks for; `None` for a signer that is somebody else's.
    pub(super) fn sign(
        &self,
        spec: &CertificateSigningRequestSpec,
        now: Timestamp,
    ) -> Option<Result<String, SignError>> {
        let signer = Signer::named(&spec.signer_name)?;
        Some(self.issue(signer, spec, now))
    }

    fn issue(
        &self,
        signer: Signer,
        spec: &CertificateSigningRequestSpec,
        now: Timestamp,
    ) -> Result<String, SignError> {
        let unusable = |error: &dyn std::fmt::Display| SignError::Request(error.to_string());
        let pem = String::from_utf8(spec.request.0.clone()).map_err(|error| unusable(&error))?;
        let mut request =
            CertificateSigningRequestParams::from_pem(&pem).map_err(|error| unusable(&error))?;
        check(signer, spec, &pem, &request)?;
        let params = &mut request.params;
        let (_, purpose) = signer.usage();
        params.is_ca = IsCa::NoCa;
        params.extended_key_usages = vec![purpose];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if usages(spec).any(|usage| usage == "key encipherment") {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.use_authority_key_identifier_extension = true;
        let asked = spec.expiration_seconds.map_or(LONGEST, i64::from);
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let at = |time: Timestamp| {
            let seconds = u64::try_from(time.as_second()).unwrap_or(0);
            epoch + std::time::Duration::from_secs(seconds)
        };
        // Somewhat before now, for clocks that are behind.
        params.not_before = at(now - 5.minutes());
        params.not_after = at(now + asked.min(LONGEST).seconds());
        request
            .signed_by(&self.issuer)
            .map(|certificate| certificate.pem())
            .map_err(|error| unusable(&error))
    }
}

fn usages(spec: &CertificateSigningRequestSpec) -> impl Iterator<Item = &str> {
    spec.usages.iter().flatten().map(String::as_str)
}

/// Whether the signer issues what the request asks for.
fn check(
    signer: Signer,
    spec: &CertificateSigningRequestSpec,
    pem: &str,
    request: &CertificateSigningRequestParams,
) -> Result<(), SignError> {
    let (needed, _) = signer.usage();
    let known = [needed, "digital signature", "key encipherment"];
    if let Some(other) = usages(spec).find(|usage| !known.contains(usage)) {
        return refused(format!("usage {other:?}"));
    }
    if !usages(spec).any(|usage| usage == needed) {
        return refused(format!("a certificate without the usage {needed:?}"));
    }
    let (name, organizations) = subject(pem)?;
    if organizations.len() > 1 {
        return refused("a certificate of more than one organization");
    }
    if matches!(signer, Signer::Client) {
        return Ok(());
    }
    if organizations != ["system:nodes"] || !name.starts_with("system:node:") {
        return refused("a node's certificate for anybody but a node");
    }
    let names = &request.params.subject_alt_names;
    match signer {
        Signer::Kubelet if !names.is_empty() => {
            refused("a client's certificate with names of hosts")
        }
        Signer::Serving if names.is_empty() => {
            refused("a server's certificate without names of hosts")
        }
        Signer::Serving
            if names
                .iter()
                .any(|name| !matches!(name, SanType::DnsName(_) | SanType::IpAddress(_))) =>
        {
            refused("names that are neither of hosts nor addresses")
        }
        _ => Ok(()),
    }
}

/// Common name and organizations.
fn subject(pem: &str) -> Result<(String, Vec<String>), SignError> {
    let unusable = || SignError::Request("its subject cannot be read".to_owned());
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| unusable())?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).map_err(|_| unusable())?;
    let subject = &request.certification_request_info.subject;
    let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        value.as_str().map(ToOwned::to_owned).ok()
    };
    let name = subject.iter_common_name().next().and_then(text);
    Ok((
        name.ok_or_else(unusable)?,
        subject.iter_organization().filter_map(text).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use rcgen::{BasicConstraints, CertificateParams, DnType};

    use super::*;

    fn authority() -> (SigningAuthority, String) {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "ca");
        let pem = params.self_signed(&key).expect("certificate").pem();
        let authority = SigningAuthority::new(&pem, &key.serialize_pem()).expect("authority");
        (authority, pem)
    }

    fn request(
        signer: &str,
        name: &str,
        group: &str,
        usage: &str,
    ) -> CertificateSigningRequestSpec {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
        params.is_ca = IsCa::ExplicitNoCa;
        let key = KeyPair::generate().expect("key");
        let pem = params.serialize_request(&key).expect("request").pem();
        CertificateSigningRequestSpec {
            request: ByteString(pem.expect("pem").into_bytes()),
            signer_name: signer.to_owned(),
            usages: Some(vec![usage.to_owned()]),
            expiration_seconds: Some(3600),
            ..CertificateSigningRequestSpec::default()
        }
    }

    #[test]
    fn a_signer_issues_what_it_is_for_and_for_as_long_as_asked() {
        let (authority, _) = authority();
        let now = Timestamp::now();
        let spec = request(
            "kubernetes.io/kube-apiserver-client",
            "jane",
            "devs",
            "client auth",
        );
        let pem = authority.sign(&spec, now).expect("ours").expect("issued");
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("pem");
        let certificate = pem.parse_x509().expect("certificate");
        assert_eq!(certificate.subject().to_string(), "CN=jane, O=devs");
        assert!(!certificate.is_ca());
        assert_eq!(
            certificate.validity().not_after.timestamp(),
            now.as_second() + 3600
        );
        for (signer, name, group, usage, why) in [
            ("kube-apiserver-client", "a", "b", "server auth", "usage"),
            (
                "kube-apiserver-client-kubelet",
                "a",
                "b",
                "client auth",
                "anybody but a node",
            ),
            (
                "kubelet-serving",
                "system:node:a",
                "system:nodes",
                "server auth",
                "without names",
            ),
        ] {
            let spec = request(&format!("kubernetes.io/{signer}"), name, group, usage);
            let error = authority.sign(&spec, now).expect("ours").expect_err(signer);
            assert!(error.to_string().contains(why), "{error}");
        }
        assert!(
            authority
                .sign(&request("example.com/other", "a", "b", "client auth"), now)
                .is_none()
        );
    }
}
