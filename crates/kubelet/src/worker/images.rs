//! Gets a container's image onto the node, as its pull policy says (L-11).

use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use plinth_client::EventKind::{Normal, Warning};
use plinth_runtime::{ImageName, PullOptions};

use super::{TaskEnd, Worker};
use crate::plan::{Schedule, Start};

/// A finished pull, for its event.
pub(crate) struct Pulled {
    size: u64,
    seconds: f64,
}

/// Where a container's image is.
pub(super) enum Available {
    /// On the node, under this full name.
    Yes(String),
    /// On its way; the worker will be told.
    Pulling,
}

impl Worker {
    /// Makes sure that the image is there, or on its way. The error is a waiting reason and message.
    pub(super) fn image(
        &mut self,
        pod: &Pod,
        container: &Container,
    ) -> Result<Available, (&'static str, String)> {
        let image = container.image.clone().unwrap_or_default();
        let name = ImageName::parse(&image).map_err(|error| {
            let message =
                format!("Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": {error}");
            self.node.event(pod, Some(&container.name), Warning, "InspectFailed", &message);
            ("InvalidImageName", message)
        })?;
        let policy = container
            .image_pull_policy
            .as_deref()
            .unwrap_or("IfNotPresent");
        let present = match self.node.runtime.images().resolve(&image) {
            Ok(present) => present.is_some(),
            Err(error) => {
                return Err((
                    "ImageInspectError",
                    format!("Failed to inspect image \"{image}\": {error}"),
                ));
            }
        };
        let pulled = self.memory.pulled.remove(&container.name);
        match (policy, present) {
            ("Never", false) => {
                let message =
                    format!("Container image \"{image}\" is not present with pull policy of Never");
                self.node.event(
                    pod,
                    Some(&container.name),
                    Warning,
                    "ErrImageNeverPull",
                    &message,
                );
                Err(("ErrImageNeverPull", message))
            }
            ("Always", true) if !pulled => Ok(self.pull(pod, container, image)),
            (_, true) => {
                if !pulled {
                    let message = format!("Container image \"{image}\" already present on machine");
                    self.node
                        .event(pod, Some(&container.name), Normal, "Pulled", &message);
                }
                Ok(Available::Yes(name.to_string()))
            }
            (_, false) => Ok(self.pull(pod, container, image)),
        }
    }

    fn pull(&mut self, pod: &Pod, container: &Container, image: String) -> Available {
        let name = container.name.clone();
        self.node.event(
            pod,
            Some(&name),
            Normal,
            "Pulling",
            &format!("Pulling image \"{image}\""),
        );
        self.memory.starts.insert(name.clone(), Start::Pulling);
        let images = self.node.runtime.images().clone();
        self.tasks.spawn(async move {
            let began = Instant::now();
            let result = match images
                .pull(&image, &PullOptions::default(), &mut |_| {})
                .await
            {
                Ok(pulled) => Ok(Pulled {
                    size: pulled.size,
                    seconds: began.elapsed().as_secs_f64(),
                }),
                Err(error) => Err(error.to_string()),
            };
            TaskEnd::Pulled {
                container: name,
                image,
                result,
            }
        });
        Available::Pulling
    }

    pub(super) fn pulled(&mut self, container: &str, image: &str, result: Result<Pulled, String>) {
        let pod = self.desired.borrow().pod.clone();
        let event = |kind, reason: &str, message: &str| {
            if let Some(pod) = &pod {
                self.node.event(pod, Some(container), kind, reason, message);
            }
        };
        match result {
            Ok(Pulled { size, seconds }) => {
                let message = format!(
                    "Successfully pulled image \"{image}\" in {seconds:.3}s ({seconds:.3}s including waiting). Image size: {size} bytes."
                );
                event(Normal, "Pulled", &message);
                self.memory.pulled.insert(container.to_owned());
                self.memory.starts.remove(container);
                self.memory.start_failures.remove(container);
            }
            Err(error) => {
                event(
                    Warning,
                    "Failed",
                    &format!("Failed to pull image \"{image}\": {error}"),
                );
                event(Warning, "Failed", "Error: ErrImagePull");
                let message = format!("failed to pull image \"{image}\": {error}");
                self.start_failed(
                    container,
                    "ErrImagePull",
                    message,
                    Schedule::CRASH,
                    Timestamp::now(),
                );
            }
        }
    }
}
