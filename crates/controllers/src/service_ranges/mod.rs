//! Keeps ServiceCIDRs true, and an IPAddress for every address a Service has. Decides nothing about who gets which
//! address.

mod plan;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::Service,
    networking::v1::{IPAddress, ServiceCIDR},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
};
use plinth_client::{Informer, WorkQueue, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    writes::{apply_condition, as_server, delete_only, revision, unless_outrun},
};
use plan::{AddressAction, RangeAction, addresses_of, plan_address, plan_range};

/// The name under which upstream says how a range is.
const MANAGER: &str = "service-cidr-controller";

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Range(String),
    Address(String),
}

struct Controller {
    client: kube::Client,
    ranges: Informer<ServiceCIDR>,
    addresses: Informer<IPAddress>,
    services: Informer<Service>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        ranges: cx.informers.of(),
        addresses: cx.informers.of(),
        services: cx.informers.of(),
    });
    let queue = cx.queue("service_ranges");
    controller.subscribe(&queue);
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.ranges.synced().await;
        controller.addresses.synced().await;
        controller.services.synced().await;
        run_workers(queue, 2, shutdown, move |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(key).await }
        })
        .await;
    });
}

impl Controller {
    fn subscribe(&self, queue: &WorkQueue<Key>) {
        let to = queue.clone();
        self.ranges
            .on_change(move |change| to.add(Key::Range(change.latest().name_any())));
        let (to, ranges) = (queue.clone(), self.ranges.clone());
        self.addresses.on_change(move |change| {
            to.add(Key::Address(change.latest().name_any()));
            // A range that is going away waits for its addresses.
            let going = ranges.list();
            for range in going
                .iter()
                .filter(|range| crate::writes::is_terminating(&***range))
            {
                to.add(Key::Range(range.name_any()));
            }
        });
        let to = queue.clone();
        self.services.on_change(move |change| {
            for state in change.states() {
                for address in addresses_of(state) {
                    to.add(Key::Address(address));
                }
            }
        });
    }

    async fn reconcile(&self, key: Key) -> Result<(), kube::Error> {
        match key {
            Key::Range(name) => self.reconcile_range(&name).await,
            Key::Address(address) => self.reconcile_address(&address).await,
        }
    }

    async fn reconcile_range(&self, name: &str) -> Result<(), kube::Error> {
        let Some(range) = self.ranges.get(None, name) else {
            return Ok(());
        };
        let (others, addresses) = (self.ranges.list(), self.addresses.list());
        let ranges: Api<ServiceCIDR> = Api::all(self.client.clone());
        let post = PostParams::default();
        let written = match plan_range(&range, &others, &addresses, Timestamp::now()) {
            None => return Ok(()),
            Some(RangeAction::Say(condition)) => {
                apply_condition(&ranges, name, MANAGER, &condition).await
            }
            Some(RangeAction::Hold(next) | RangeAction::Free(next)) => {
                ranges.replace(name, &post, &next).await
            }
        };
        if let Some(written) = unless_outrun(written)? {
            self.ranges.seen(revision(&written)).await;
        }
        Ok(())
    }

    async fn reconcile_address(&self, address: &str) -> Result<(), kube::Error> {
        let record = self.addresses.get(None, address);
        let services = self.services.list();
        let owner = services
            .iter()
            .find(|service| addresses_of(service).iter().any(|has| has == address));
        let addresses: Api<IPAddress> = Api::all(self.client.clone());
        match plan_address(address, owner.map(|owner| &**owner), record.as_deref()) {
            None => {}
            Some(AddressAction::Record(record)) => {
                let made = addresses.create(&as_server(), &record).await;
                if let Some(made) = unless_outrun(made)? {
                    self.addresses.seen(revision(&made)).await;
                }
            }
            Some(AddressAction::Strike) => {
                let uid = record.as_ref().and_then(|record| record.uid());
                let how = uid.map_or_else(DeleteParams::default, |uid| delete_only(&uid));
                unless_outrun(addresses.delete(address, &how).await)?;
            }
        }
        Ok(())
    }
}
