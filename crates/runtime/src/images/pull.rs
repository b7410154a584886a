//! Images from registries (OCI distribution). Everything that arrives is verified against the digest that announced it.

use std::fs::File;
use std::thread;

use futures::StreamExt;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt;

use super::Result;
use super::digest::Digest;
use super::error::ImageError;
use super::image::{ConfigFile, Image, Layer};
use super::ingest::{Ingest, NewImage, Spooled, mismatch};
use super::manifest::{
    DOCKER_INDEX, DOCKER_MANIFEST, Descriptor, Document, MAX_DOCUMENT, Manifest, OCI_INDEX,
    OCI_MANIFEST, expect_image, for_host,
};
use super::name::ImageName;
use super::store::ImageStore;

const ACCEPTED: [&str; 4] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX];

/// How to reach a registry.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// User name and password; without them the pull is anonymous.
    pub credentials: Option<(String, String)>,
}

/// What a pull tells while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullProgress {
    /// The manifest for this machine is known.
    Resolved {
        /// Of the manifest.
        digest: Digest,
        /// How many layers the image has.
        layers: usize,
    },
    /// A layer is here already.
    Present {
        /// Its diff id.
        layer: Digest,
    },
    /// Some of a layer's archive has arrived.
    Layer {
        /// Of the archive.
        digest: Digest,
        /// Bytes so far.
        received: u64,
        /// Bytes in all, as the manifest says.
        size: u64,
    },
}

impl ImageStore {
    /// Fetches an image by tag or digest, for this machine if it is for several. What is here already is not fetched.
    /// Registries are spoken to over TLS, except those on loopback (`localhost:5000/app`): they get plain HTTP.
    ///
    /// # Errors
    /// [`ImageError::Registry`] with the registry's or the network's words; digests and names as for imports.
    pub async fn pull(
        &self,
        name: &str,
        options: &PullOptions,
        progress: &mut (dyn FnMut(PullProgress) + Send),
    ) -> Result<Image> {
        let name = ImageName::parse(name)?;
        let registry = Registry::connect(&name, options).await?;
        let store = self.clone();
        let mut ingest = blocking(move || Ingest::begin(&store)).await?;
        let (manifest, digest) = registry.manifest().await?;
        progress(PullProgress::Resolved {
            digest: digest.clone(),
            layers: manifest.layers.len(),
        });
        let config = registry
            .fetch(&mut ingest, &manifest.config, MAX_DOCUMENT, &mut |_| {})
            .await?;
        let config = std::fs::read(&config.path).map_err(ImageError::io("read", &config.path))?;
        let diff_ids = ConfigFile::parse(&name.to_string(), &config)?
            .rootfs
            .diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            let reason = format!(
                "{} layers in the configuration, {} in the manifest",
                diff_ids.len(),
                manifest.layers.len()
            );
            return Err(ImageError::malformed(name.to_string(), reason));
        }
        let mut layers: Vec<Layer> = Vec::new();
        for (descriptor, diff_id) in manifest.layers.iter().zip(diff_ids) {
            if let Some(known) = ingest.known_layer(&diff_id)? {
                progress(PullProgress::Present { layer: diff_id });
                layers.push(known);
                continue;
            }
            let (digest, size) = (&descriptor.digest, descriptor.size);
            let mut tell = |received| {
                progress(PullProgress::Layer {
                    digest: digest.clone(),
                    received,
                    size,
                });
            };
            let archive = registry
                .fetch(&mut ingest, descriptor, size, &mut tell)
                .await?;
            let what = format!("layer {digest} of {name}");
            let (back, layer) = blocking(move || {
                let layer = ingest.archive(&archive, Some(&diff_id), &what)?;
                Ok((ingest, layer))
            })
            .await?;
            ingest = back;
            layers.push(layer);
        }
        // The digest of the manifest, and what was asked for: a tag, or perhaps the digest of the index above it.
        let names = vec![name.with_digest(digest).key(), name.key()];
        let image = NewImage {
            config,
            layers,
            names,
        };
        let images = blocking(move || ingest.publish(vec![image])).await?;
        images
            .into_iter()
            .next()
            .ok_or_else(|| ImageError::NotFound(name.to_string()))
    }
}

/// Pulls from code that is not asynchronous, on a thread of its own.
pub(super) fn pull_blocking(store: &ImageStore, name: &str) -> Result<Image> {
    let pull = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ImageError::io("start a runtime for", name))?;
        runtime.block_on(store.pull(name, &PullOptions::default(), &mut |_| {}))
    };
    thread::scope(|scope| scope.spawn(pull).join()).unwrap_or_else(|_| {
        Err(ImageError::Registry {
            image: name.to_owned(),
            reason: "the client panicked".to_owned(),
        })
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(ImageError::malformed(
                "image store",
                format!("its worker failed: {error}"),
            ))
        })
}

struct Registry<'n> {
    client: Client,
    reference: Reference,
    auth: RegistryAuth,
    name: &'n ImageName,
}

impl<'n> Registry<'n> {
    async fn connect(name: &'n ImageName, options: &PullOptions) -> Result<Self> {
        let (domain, repository) = (name.domain().to_owned(), name.repository().to_owned());
        let reference = match (name.digest(), name.tag()) {
            (Some(digest), _) => Reference::with_digest(domain, repository, digest.to_string()),
            (None, tag) => {
                Reference::with_tag(domain, repository, tag.unwrap_or("latest").to_owned())
            }
        };
        let protocol = if is_loopback(name.domain()) {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(std::time::Duration::from_secs(30)),
            read_timeout: Some(std::time::Duration::from_mins(2)),
            user_agent: concat!("plinth/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let auth = match &options.credentials {
            Some((user, password)) => RegistryAuth::Basic(user.clone(), password.clone()),
            None => RegistryAuth::Anonymous,
        };
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // The binary installs one at its start; where none did, and somebody else is faster now, theirs is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let client = Client::try_from(config).map_err(|error| failed(name, &error))?;
        let registry = Self {
            client,
            reference,
            auth,
            name,
        };
        registry
            .client
            .auth(&registry.reference, &registry.auth, RegistryOperation::Pull)
            .await
            .map_err(|error| failed(name, &error))?;
        Ok(registry)
    }

    /// The manifest for this machine, and its digest.
    async fn manifest(&self) -> Result<(Manifest, Digest)> {
        let what = self.name.to_string();
        let (mut bytes, mut digest) = self.document(&self.reference, self.name.digest()).await?;
        if let Document::Index(index) = Document::parse(&what, &bytes)? {
            let chosen = for_host(&what, &index.manifests.iter().collect::<Vec<_>>())?;
            let reference = Reference::with_digest(
                self.name.domain().to_owned(),
                self.name.repository().to_owned(),
                chosen.digest.to_string(),
            );
            (bytes, digest) = self.document(&reference, Some(&chosen.digest)).await?;
        }
        match Document::parse(&what, &bytes)? {
            Document::Manifest(manifest) => {
                expect_image(&what, &manifest)?;
                Ok((manifest, digest))
            }
            Document::Index(_) => Err(ImageError::malformed(what, "an index inside an index")),
        }
    }

    async fn document(
        &self,
        reference: &Reference,
        expected: Option<&Digest>,
    ) -> Result<(Vec<u8>, Digest)> {
        let (bytes, _) = self
            .client
            .pull_manifest_raw(reference, &self.auth, &ACCEPTED)
            .await
            .map_err(|error| failed(self.name, &error))?;
        let found = Digest::of(&bytes);
        match expected {
            Some(expected) if *expected != found => Err(mismatch(
                &format!("manifest of {}", self.name),
                expected,
                &found,
            )),
            _ => Ok((bytes.to_vec(), found)),
        }
    }

    /// Writes a blob to staging and verifies it. More than `limit` bytes are not read.
    async fn fetch(
        &self,
        ingest: &mut Ingest,
        blob: &Descriptor,
        limit: u64,
        tell: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Spooled> {
        let wanted = OciDescriptor {
            media_type: blob.media_type.clone(),
            digest: blob.digest.to_string(),
            size: i64::try_from(blob.size).unwrap_or(i64::MAX),
            ..OciDescriptor::default()
        };
        let mut stream = self
            .client
            .pull_blob_stream(&self.reference, &wanted)
            .await
            .map_err(|error| failed(self.name, &error))?;
        let path = ingest.path();
        let file = File::create(&path).map_err(ImageError::io("create", &path))?;
        let mut file = tokio::fs::File::from_std(file);
        let mut hash = Sha256::new();
        let mut size = 0;
        while let Some(chunk) = stream.next().await {
            let chunk =
                chunk.map_err(|error| self.refused(format!("blob {}: {error}", blob.digest)))?;
            hash.update(&chunk);
            size += chunk.len() as u64;
            if size > limit {
                return Err(self.refused(format!(
                    "blob {} is larger than the {limit} bytes announced",
                    blob.digest
                )));
            }
            file.write_all(&chunk)
                .await
                .map_err(ImageError::io("write", &path))?;
            tell(size);
        }
        file.flush().await.map_err(ImageError::io("write", &path))?;
        let digest = Digest::from_hash(hash);
        if digest == blob.digest {
            Ok(Spooled { path, digest, size })
        } else {
            Err(mismatch(
                &format!("blob of {}", self.name),
                &blob.digest,
                &digest,
            ))
        }
    }

    fn refused(&self, reason: String) -> ImageError {
        ImageError::Registry {
            image: self.name.to_string(),
            reason,
        }
    }
}

/// Whether a registry is on this machine, so that nobody listens in between.
fn is_loopback(domain: &str) -> bool {
    let host = domain
        .rsplit_once(':')
        .filter(|(_, port)| !port.ends_with(']'))
        .map_or(domain, |(host, _)| host);
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// In words that tell "there is none" from "you may not" from "nobody answers".
fn failed(name: &ImageName, error: &OciDistributionError) -> ImageError {
    use OciErrorCode::{Denied, ManifestUnknown, NameUnknown, NotFound, Unauthorized};
    let first_code = match error {
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.first().map(|error| &error.code)
        }
        OciDistributionError::ImageManifestNotFoundError(_) => Some(&NotFound),
        OciDistributionError::UnauthorizedError { .. } => Some(&Unauthorized),
        _ => None,
    };
    let mut reason = match first_code {
        Some(ManifestUnknown | NameUnknown | NotFound) => "not found".to_owned(),
        Some(Unauthorized | Denied) => "unauthorized: authentication required".to_owned(),
        _ => error.to_string(),
    };
    // The HTTP client keeps the cause (refused, timeout, certificate) underneath.
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !reason.contains(&text) {
            reason.push_str(": ");
            reason.push_str(&text);
        }
        cause = inner.source();
    }
    ImageError::Registry {
        image: name.to_string(),
        reason,
    }
}
