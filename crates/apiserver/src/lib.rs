//! The Kubernetes API over HTTP: one pipeline from a request to the store and back, the same for every kind. It
//! refuses to know what a kind means; that is `plinth-api`'s, and where bytes lie, which is `plinth-store`'s.
//!
//! A write goes: route → authenticate → authorize → decode → default → admit → the kind's strategy → validate →
//! commit. A read never leaves memory: every live object is kept as ready-to-send bytes with a parsed header, and
//! GET, LIST and WATCH share these bytes by reference count.
//!
//! [`ApiServer`] is the door: [`ApiServer::service`] for callers in this process, [`ApiServer::serve`] for TLS.

#![allow(
    clippy::result_large_err,
    reason = "a Status is the answer to a request: it is made once per refused request and never on a hot path"
)]

mod admission;
mod allocation;
mod audit;
mod authentication;
mod authorization;
mod bootstrap;
mod cache;
mod connect;
mod convert;
mod definitions;
mod discovery;
mod dispatch;
mod encode;
mod encryption;
#[cfg(fuzzing)]
pub mod fuzzing;
mod groups;
mod health;
mod http;
mod kind;
mod metrics;
mod node_proxy;
mod query;
mod quota;
mod read;
mod review;
mod route;
mod serve;
mod server;
mod version;
mod webhook;
mod write;

pub use audit::{AuditLog, AuditPolicy, AuditWriter, BadPolicy};
pub use authentication::{
    BadKey, BadTokens, ClientCertificates, Credentials, ServiceAccountConfig, StaticTokens,
    UserInfo,
};
pub use encryption::{BadKeys, EncryptionError, EncryptionKeys};
pub use http::body::ResponseBody;
pub use node_proxy::NodeClientTls;
pub use server::{ApiServer, ApiServerConfig, LocalService, StartError};
pub use version::GIT_VERSION;
