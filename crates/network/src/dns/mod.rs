//! The cluster's DNS server, in process: answers for its own zone from memory and forwards the rest.
//! Knows services and endpoints as plain records; where they come from is not its business.

mod server;
mod zone;

pub use server::{DnsError, DnsServer};
pub use zone::{EndpointRecord, PortRecord, Protocol, ServiceRecords};
