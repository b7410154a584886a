//! Admission that clients configure: policies and webhooks. What they say is compiled when they change, and looked at
//! only by requests; while there are none, a request pays for reading one pointer.

mod index;
mod notes;
mod params;
mod request;
mod type_checker;
mod validating;

use plinth_api::Status;
use serde_json::Value;

pub(crate) use index::Hooks;
pub(crate) use notes::Notes;
pub(crate) use request::{Options, Request};
pub(crate) use type_checker::follow as check_types;

use crate::server::Core;

impl Core {
    /// Lets plugins of this server, and then what clients have configured, change an object that is about to be checked.
    /// `Null` stands for no object.
    #[expect(
        clippy::unused_async,
        reason = "callers may not hold anything that webhooks would wait for"
    )]
    pub(crate) async fn mutate(
        &self,
        _request: &Request<'_>,
        object: &mut Value,
        _old: Option<&Value>,
        plugins: impl Fn(&mut Value) -> Result<(), Status> + Send + Sync,
    ) -> Result<(), Status> {
        plugins(object)
    }

    /// Lets what clients have configured refuse an object that was checked and is about to be kept.
    pub(crate) async fn judge(
        &self,
        request: &Request<'_>,
        object: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if !request.is_reviewed() {
            return Ok(());
        }
        let index = self.hooks.current(self);
        if !index.validating.is_empty() {
            validating::judge(self, &index.validating, request, object, old).await?;
        }
        Ok(())
    }
}
