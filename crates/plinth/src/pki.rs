//! The cluster's own certificate authority and the certificates it issues, as PEM files. Knows who needs
//! a certificate and for which names; does not serve anything.
//!
//! All keys are ECDSA P-256. The authority lives ten years, its certificates one; what has less than a
//! month left, or names other addresses than now, is issued anew at start.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use jiff::{Timestamp, ToSpan};
use plinth_apiserver::{ClientCertificates, EncryptionKeys};
use plinth_controllers::SigningAuthority;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A certificate and its private key, both PEM.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Everything this server proves itself and others with.
#[derive(Debug)]
pub(crate) struct Pki {
    /// The authority's certificate, PEM.
    pub(crate) ca: String,
    ca_key: String,
    /// Serves the API.
    pub(crate) server: Identity,
    /// The administrator's: `system:masters`.
    pub(crate) admin: Identity,
    /// Serves the node's own API.
    pub(crate) kubelet: Identity,
    /// The API server's, towards nodes.
    pub(crate) node_client: Identity,
    /// Signs ServiceAccount tokens: a private key, PEM. It is made once; whoever replaces it makes all tokens invalid.
    pub(crate) account_key: String,
    /// Seals secrets in the store. Lines may be put before it to change the key; without those a value was sealed with,
    /// it is lost.
    pub(crate) encryption_keys: String,
}

/// What the certificates are to name.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) node_name: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) cluster_domain: String,
}

/// Who a certificate is for.
struct Subject<'a> {
    file: &'a str,
    common_name: &'a str,
    organization: Option<&'a str>,
    usage: ExtendedKeyUsagePurpose,
    names: Vec<SanType>,
}

impl Pki {
    /// Reads the certificates under `directory`, issuing what is missing, expiring or named otherwise.
    pub(crate) fn open(directory: &Path, names: &Names, now: Timestamp) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        let ca = authority(directory, now)?;
        let issuer = Issuer::from_ca_cert_pem(&ca.certificate, KeyPair::from_pem(&ca.key)?)
            .context("reading the certificate authority")?;
        let addresses = names.addresses.iter().copied().map(SanType::IpAddress);
        let mut api_names: Vec<SanType> = addresses.clone().collect();
        let service =
            ["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned);
        let full = format!("kubernetes.default.svc.{}", names.cluster_domain);
        for name in
            service
                .into_iter()
                .chain([full, "localhost".to_owned(), names.node_name.clone()])
        {
            api_names.push(SanType::DnsName(name.try_into()?));
        }
        let mut node_names: Vec<SanType> = addresses.collect();
        node_names.push(SanType::DnsName(names.node_name.clone().try_into()?));
        let node_user = format!("system:node:{}", names.node_name);
        let issue = |subject: &Subject| issued(directory, &issuer, subject, now);
        Ok(Self {
            server: issue(&Subject {
                file: "apiserver",
                common_name: "kube-apiserver",
                organization: None,
                usage: ExtendedKeyUsagePurpose::ServerAuth,
                names: api_names,
            })?,
            admin: issue(&Subject {
                file: "admin",
                common_name: "kubernetes-admin",
                organization: Some("system:masters"),
                usage: ExtendedKeyUsagePurpose::ClientAuth,
                names: Vec::new(),
            })?,
            kubelet: issue(&Subject {
                file: "kubelet",
                common_name: &node_user,
                organization: Some("system:nodes"),
                usage: ExtendedKeyUsagePurpose::ServerAuth,
                names: node_names,
            })?,
            node_client: issue(&Subject {
                file: "apiserver-kubelet-client",
                common_name: "kube-apiserver-kubelet-client",
                organization: Some("system:masters"),
                usage: ExtendedKeyUsagePurpose::ClientAuth,
                names: Vec::new(),
            })?,
            account_key: made_once(directory, "sa.key", || {
                Ok(KeyPair::generate()?.serialize_pem())
            })?,
            encryption_keys: made_once(directory, "encryption.key", || {
                Ok(EncryptionKeys::generate()?)
            })?,
            ca: ca.certificate,
            ca_key: ca.key,
        })
    }

    /// Who may prove by certificate who they are.
    pub(crate) fn client_certificates(&self) -> Result<ClientCertificates> {
        Ok(ClientCertificates::new(self.roots()?)?)
    }

    /// The authority as a signer of others' requests.
    pub(crate) fn signing_authority(&self) -> Result<Arc<SigningAuthority>> {
        Ok(Arc::new(SigningAuthority::new(&self.ca, &self.ca_key)?))
    }

    /// The key of ServiceAccount tokens as PKCS#8 DER.
    pub(crate) fn account_key(&self) -> Result<Vec<u8>> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(self.account_key.as_bytes())
            .context("reading the key of ServiceAccount tokens")?;
        Ok(key.secret_pkcs8_der().to_vec())
    }

    /// TLS for the API: whoever shows a client certificate must have its key; whose it is, the API judges.
    pub(crate) fn api_tls(&self) -> Result<Arc<ServerConfig>> {
        let mut config = ServerConfig::builder()
            .with_client_cert_verifier(self.client_certificates()?.verifier())
            .with_single_cert(chain(&self.server)?, key(&self.server)?)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// TLS for the node's API: a client certificate of our authority is required.
    pub(crate) fn node_tls(&self) -> Result<Arc<ServerConfig>> {
        let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots()?)).build()?;
        let config = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain(&self.kubelet)?, key(&self.kubelet)?)?;
        Ok(Arc::new(config))
    }

    /// TLS with which the API server calls nodes.
    pub(crate) fn node_client_tls(&self) -> Result<Arc<ClientConfig>> {
        let config = ClientConfig::builder()
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(chain(&self.node_client)?, key(&self.node_client)?)?;
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.ca.as_bytes()) {
            roots.add(certificate?)?;
        }
        Ok(roots)
    }
}

fn chain(identity: &Identity) -> Result<Vec<CertificateDer<'static>>> {
    Ok(
        CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
            .collect::<Result<_, _>>()?,
    )
}

fn key(identity: &Identity) -> Result<PrivateKeyDer<'static>> {
    Ok(PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?)
}

/// The text of a private file, made if it is not there.
fn made_once(
    directory: &Path,
    name: &str,
    make: impl FnOnce() -> Result<String>,
) -> Result<String> {
    let path = directory.join(name);
    if path.exists() {
        return fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()));
    }
    let text = make()?;
    write_private(&path, text.as_bytes())?;
    Ok(text)
}

fn authority(directory: &Path, now: Timestamp) -> Result<Identity> {
    if let Some(existing) = read(directory, "ca")? {
        return Ok(existing);
    }
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("plinth-ca@{}", now.as_second()));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    validity(&mut params, now, 10);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    write(
        directory,
        "ca",
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        },
    )
}

fn issued(
    directory: &Path,
    issuer: &Issuer<'_, KeyPair>,
    subject: &Subject,
    now: Timestamp,
) -> Result<Identity> {
    if let Some(existing) = read(directory, subject.file)?
        && still_fits(&existing, subject, now)?
    {
        return Ok(existing);
    }
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, subject.common_name);
    if let Some(organization) = subject.organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    params.subject_alt_names.clone_from(&subject.names);
    params.extended_key_usages = vec![subject.usage.clone()];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    validity(&mut params, now, 1);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    write(
        directory,
        subject.file,
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        },
    )
}

/// Valid from an hour ago, so that a clock somewhat behind does not refuse it.
fn validity(params: &mut CertificateParams, now: Timestamp, years: i64) {
    let second = |timestamp: Timestamp| {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        epoch + std::time::Duration::from_secs(u64::try_from(timestamp.as_second()).unwrap_or(0))
    };
    params.not_before = second(now - 1.hour());
    params.not_after = second(now + (years * 365 * 24).hours());
}

/// Whether a certificate has a month left and names what it should.
fn still_fits(identity: &Identity, subject: &Subject, now: Timestamp) -> Result<bool> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(identity.certificate.as_bytes())?;
    let certificate = pem.parse_x509()?;
    let month_ahead = (now + (30 * 24).hours()).as_second();
    if certificate.validity().not_after.timestamp() < month_ahead {
        return Ok(false);
    }
    let common_name = certificate
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok());
    if common_name != Some(subject.common_name) {
        return Ok(false);
    }
    let mut named: Vec<String> = Vec::new();
    if let Some(names) = certificate.subject_alternative_name()? {
        for name in &names.value.general_names {
            match name {
                x509_parser::extensions::GeneralName::DNSName(name) => {
                    named.push((*name).to_owned());
                }
                x509_parser::extensions::GeneralName::IPAddress(bytes) => {
                    named.push(address_text(bytes));
                }
                _ => {}
            }
        }
    }
    let mut wanted: Vec<String> = subject
        .names
        .iter()
        .map(|name| match name {
            SanType::DnsName(name) => name.as_str().to_owned(),
            SanType::IpAddress(address) => address.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    named.sort();
    wanted.sort();
    Ok(named == wanted)
}

fn address_text(bytes: &[u8]) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        IpAddr::from(v4).to_string()
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        IpAddr::from(v6).to_string()
    } else {
        format!("{bytes:?}")
    }
}

fn paths(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
    (
        directory.join(format!("{name}.crt")),
        directory.join(format!("{name}.key")),
    )
}

fn read(directory: &Path, name: &str) -> Result<Option<Identity>> {
    let (certificate, key) = paths(directory, name);
    if !certificate.exists() || !key.exists() {
        return Ok(None);
    }
    let text = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
    };
    Ok(Some(Identity {
        certificate: text(&certificate)?,
        key: text(&key)?,
    }))
}

/// Writes the key first: a certificate is there only with its key.
fn write(directory: &Path, name: &str, identity: Identity) -> Result<Identity> {
    let (certificate, key) = paths(directory, name);
    write_private(&key, identity.key.as_bytes())?;
    write_private(&certificate, identity.certificate.as_bytes())?;
    Ok(identity)
}

/// Replaces the file at `path` in one step; only its owner may read it.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .with_context(|| format!("writing {}", draft.display()))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(addresses: &[&str]) -> Names {
        Names {
            node_name: "node-1".to_owned(),
            addresses: addresses
                .iter()
                .map(|address| address.parse().expect("address"))
                .collect(),
            cluster_domain: "cluster.local".to_owned(),
        }
    }

    #[test]
    fn certificates_are_made_once_and_anew_when_they_expire_or_name_others() {
        let directory = tempfile::tempdir().expect("tempdir");
        let now = Timestamp::now();
        let open = |addresses: &[&str], now| {
            Pki::open(directory.path(), &names(addresses), now).expect("open")
        };
        let first = open(&["127.0.0.1", "10.96.0.1"], now);
        let again = open(&["127.0.0.1", "10.96.0.1"], now);
        assert_eq!(first.server.certificate, again.server.certificate);
        let moved = open(&["127.0.0.1", "10.96.0.1", "192.0.2.1"], now);
        assert_eq!(first.ca, moved.ca);
        assert_ne!(first.server.certificate, moved.server.certificate);
        assert_eq!(first.admin.certificate, moved.admin.certificate);
        assert_eq!(first.account_key, moved.account_key);
        let later = open(
            &["127.0.0.1", "10.96.0.1", "192.0.2.1"],
            now + (350 * 24).hours(),
        );
        assert_eq!(first.ca, later.ca);
        assert_ne!(first.admin.certificate, later.admin.certificate);
    }

    #[test]
    fn nobody_but_the_owner_may_read_a_key() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("tempdir");
        Pki::open(directory.path(), &names(&["127.0.0.1"]), Timestamp::now()).expect("open");
        for entry in fs::read_dir(directory.path()).expect("read_dir") {
            let mode = entry
                .expect("entry")
                .metadata()
                .expect("metadata")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
