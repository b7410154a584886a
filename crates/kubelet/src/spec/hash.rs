//! Tells whether a running container is still the one its specification asks for (L-12).

use k8s_openapi::api::core::v1::Container;

/// A fingerprint of what a running container cannot change without a restart. On a live pod the API lets only
/// the image change (and resources, by resize), so exactly the name and the image count, as upstream.
pub(crate) fn container_hash(container: &Container) -> String {
    let image = container.image.as_deref().unwrap_or_default();
    // FNV-1a: stable over builds and restarts, which the standard hasher does not promise.
    let text = format!("{}\0{image}", container.name);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l12_only_name_and_image_count() {
        let a = Container {
            name: "c".into(),
            image: Some("kubia:v1".into()),
            ..Default::default()
        };
        let mut same = a.clone();
        same.args = Some(vec!["x".into()]);
        let other = Container {
            image: Some("kubia:v2".into()),
            ..a.clone()
        };
        assert_eq!(container_hash(&a), container_hash(&same));
        assert_ne!(container_hash(&a), container_hash(&other));
    }
}
