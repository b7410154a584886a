//! Admission that clients configure: policies and webhooks. What they say is compiled when they change, and looked at
//! only by requests; while there are none, a request pays for reading one pointer.

mod index;
mod mutating;
mod notes;
mod params;
mod request;
mod type_checker;
mod validating;
mod webhooks;

use plinth_api::Status;
use serde_json::Value;

pub(crate) use index::Hooks;
use mutating::Reinvocation;
pub(crate) use notes::Notes;
pub(crate) use request::{Options, Request};
pub(crate) use type_checker::follow as check_types;

use crate::server::Core;

impl Core {
    /// Lets plugins of this server, and then what clients have configured, change an object that is about to be checked.
    /// `Null` stands for no object.
    pub(crate) async fn mutate(
        &self,
        request: &Request<'_>,
        object: &mut Value,
        old: Option<&Value>,
        plugins: impl Fn(&mut Value) -> Result<(), Status> + Send + Sync,
    ) -> Result<(), Status> {
        plugins(object)?;
        if !request.is_reviewed() {
            return Ok(());
        }
        let index = self.hooks.current(self);
        if index.mutating.is_empty() && index.mutating_webhooks.is_empty() {
            return Ok(());
        }
        let webhooks = index.mutating_webhooks();
        let (mut by_policies, mut by_webhooks) = (Reinvocation::default(), Reinvocation::default());
        for second in [false, true] {
            if second {
                if !by_policies.changed && !by_webhooks.changed {
                    break;
                }
                plugins(object)?;
            }
            let state = (&mut by_policies, second);
            mutating::policies(self, &index.mutating, request, object, old, state).await?;
            let state = (&mut by_webhooks, second);
            webhooks::mutate(self, &webhooks, request, object, old, state).await?;
        }
        Ok(())
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
        if !index.validating_webhooks.is_empty() {
            let webhooks = index.validating_webhooks();
            webhooks::judge(self, &webhooks, request, object, old).await?;
        }
        Ok(())
    }
}
