//! Pulls from a registry on loopback: a few lines of HTTP that serve what they are given.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use plinth_runtime::{ImageError, PullOptions, PullProgress};
use serde_json::json;

use crate::fixture::{Fixture, Tar, config, descriptor, digest, gzip, manifest};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const HOST: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

/// What a path answers with.
#[derive(Clone)]
struct Page {
    media_type: &'static str,
    body: Vec<u8>,
}

#[derive(Default)]
struct Pages {
    by_path: BTreeMap<String, Page>,
    /// Required in `Authorization`, if set.
    authorization: Option<String>,
    /// Requests answered with a page.
    served: Vec<String>,
}

struct Registry {
    address: String,
    pages: Arc<Mutex<Pages>>,
}

impl Registry {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let pages = Arc::new(Mutex::new(Pages::default()));
        let shared = pages.clone();
        // Ends with the process of the test.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, pages }
    }

    fn put(&self, path: String, media_type: &'static str, body: &[u8]) {
        self.pages.lock().unwrap().by_path.insert(
            path,
            Page {
                media_type,
                body: body.to_vec(),
            },
        );
    }

    /// Makes an image available; answers with the digest of its manifest.
    fn add(&self, repository: &str, reference: &str, config: &[u8], layers: &[&[u8]]) -> String {
        let manifest = manifest(config, layers);
        for blob in layers.iter().chain([&config]) {
            self.put(
                format!("/v2/{repository}/blobs/{}", digest(blob)),
                "application/octet-stream",
                blob,
            );
        }
        for reference in [reference, &digest(&manifest)] {
            self.put(
                format!("/v2/{repository}/manifests/{reference}"),
                MANIFEST,
                &manifest,
            );
        }
        digest(&manifest)
    }

    fn served(&self) -> Vec<String> {
        std::mem::take(&mut self.pages.lock().unwrap().served)
    }
}

fn serve(stream: TcpStream, pages: &Mutex<Pages>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let mut authorization = None;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 || header.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = header.trim().split_once(": ")
                && name.eq_ignore_ascii_case("authorization")
            {
                authorization = Some(value.to_owned());
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut pages = pages.lock().unwrap();
        let denied = pages.authorization.is_some() && pages.authorization != authorization;
        let page = pages.by_path.get(&path).cloned();
        let (status, media_type, body) = match page {
            _ if denied => (
                "401 Unauthorized",
                "application/json",
                b"{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"who are you\"}]}".to_vec(),
            ),
            Some(page) => {
                pages.served.push(path);
                ("200 OK", page.media_type, page.body)
            }
            None if path == "/v2/" => ("200 OK", "application/json", b"{}".to_vec()),
            None => (
                "404 Not Found",
                "application/json",
                b"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"unknown\"}]}".to_vec(),
            ),
        };
        drop(pages);
        let challenge = if denied {
            "WWW-Authenticate: Basic realm=\"test\"\r\n"
        } else {
            ""
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n{challenge}\r\n",
            body.len()
        );
        if stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&body))
            .is_err()
        {
            return;
        }
    }
}

#[tokio::test]
async fn an_image_is_pulled_by_tag_and_by_digest() {
    let registry = Registry::start();
    let (one, two) = (
        Tar::new().file("one", "1").finish(),
        Tar::new().file("two", "2").finish(),
    );
    let (packed, config) = (gzip(&two), config(HOST, &[&one, &two]));
    let manifest_digest = registry.add("team/app", "v1", &config, &[&one, &packed]);
    let fixture = Fixture::new();
    let name = format!("{}/team/app:v1", registry.address);
    let mut progress = Vec::new();
    let image = fixture
        .store
        .pull(&name, &PullOptions::default(), &mut |event| {
            progress.push(event);
        })
        .await
        .unwrap();
    assert_eq!(image.id, digest(&config));
    assert_eq!(image.names, [name.as_str()]);
    let by_digest = format!("{}/team/app@{manifest_digest}", registry.address);
    assert_eq!(image.digests, [by_digest.as_str()]);
    assert_eq!(
        fixture.store.resolve(&by_digest).unwrap().unwrap().id,
        image.id
    );
    assert!(
        matches!(&progress[0], PullProgress::Resolved { layers: 2, .. }),
        "{progress:?}"
    );
    assert!(progress.iter().any(
        |event| matches!(event, PullProgress::Layer { received, size, .. } if received == size)
    ));
    assert_eq!(registry.served().len(), 4);

    // Layers that are here are not fetched again.
    fixture
        .store
        .pull(&by_digest, &PullOptions::default(), &mut |_| {})
        .await
        .unwrap();
    assert_eq!(registry.served().len(), 2, "manifest and configuration");
}

#[tokio::test]
async fn an_index_leads_to_the_image_of_this_machine() {
    let registry = Registry::start();
    let config = config(HOST, &[]);
    let mine = registry.add("multi", "unused", &config, &[]);
    let mut entry = descriptor(MANIFEST, &manifest(&config, &[]));
    entry["platform"] = json!({"os": "linux", "architecture": HOST});
    let other = json!({"mediaType": MANIFEST, "digest": digest(b"other"), "size": 1, "platform": {"os": "linux", "architecture": "s390x"}});
    let index =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [other, entry]}).to_string();
    registry.put("/v2/multi/manifests/latest".into(), INDEX, index.as_bytes());
    let fixture = Fixture::new();
    let image = fixture
        .store
        .pull(
            &format!("{}/multi", registry.address),
            &PullOptions::default(),
            &mut |_| {},
        )
        .await
        .unwrap();
    assert_eq!(
        image.digests,
        [format!("{}/multi@{mine}", registry.address)]
    );
}

#[tokio::test]
async fn content_that_is_not_what_was_announced_is_refused() {
    let registry = Registry::start();
    let layer = Tar::new().file("one", "1").finish();
    let config = config(HOST, &[&layer]);
    let real = registry.add("app", "v1", &config, &[&layer]);
    let path = format!("/v2/app/blobs/{}", digest(&layer));
    let fixture = Fixture::new();
    let name = format!("{}/app:v1", registry.address);
    for wrong in [
        Tar::new().file("one", "2").finish(),
        vec![0; layer.len() + 512],
        layer[..100].to_vec(),
    ] {
        registry.put(path.clone(), "application/octet-stream", &wrong);
        fixture
            .store
            .pull(&name, &PullOptions::default(), &mut |_| {})
            .await
            .unwrap_err();
        assert!(fixture.store.list().unwrap().is_empty());
        assert_eq!(fixture.entries("layers"), Vec::<String>::new());
    }
    registry.put(path, "application/octet-stream", &layer);
    registry.put(
        format!("/v2/app/manifests/{real}"),
        MANIFEST,
        &manifest(&config, &[]),
    );
    let by_digest = format!("{}/app@{real}", registry.address);
    let error = fixture
        .store
        .pull(&by_digest, &PullOptions::default(), &mut |_| {})
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("digest") || error.to_string().contains("Digest"),
        "{error}"
    );
    fixture
        .store
        .pull(&name, &PullOptions::default(), &mut |_| {})
        .await
        .unwrap();
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let registry = Registry::start();
    let fixture = Fixture::new();
    let reason = |error: ImageError| match error {
        ImageError::Registry { reason, .. } => reason,
        other => panic!("{other}"),
    };
    let missing = format!("{}/none:v1", registry.address);
    let error = fixture
        .store
        .pull(&missing, &PullOptions::default(), &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(reason(error), "not found");

    let config = config(HOST, &[]);
    registry.add("private", "v1", &config, &[]);
    registry.pages.lock().unwrap().authorization = Some("Basic dXNlcjpwYXNz".into());
    let private = format!("{}/private:v1", registry.address);
    let error = fixture
        .store
        .pull(&private, &PullOptions::default(), &mut |_| {})
        .await
        .unwrap_err();
    assert!(reason(error).contains("nauthorized"));
    let options = PullOptions {
        credentials: Some(("user".into(), "pass".into())),
    };
    fixture
        .store
        .pull(&private, &options, &mut |_| {})
        .await
        .unwrap();

    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = fixture
        .store
        .pull(&format!("{closed}/x"), &PullOptions::default(), &mut |_| {})
        .await
        .unwrap_err();
    assert!(reason(error).contains("refused"));
    let error = fixture
        .store
        .pull("Not A Name", &PullOptions::default(), &mut |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, ImageError::InvalidName { .. }));
}
