//! Gives every pod a node: filter, score, bind. Knows only the API; never starts anything.
//!
//! [`plan`] decides purely on a snapshot of the cluster; `act` writes; `cluster` keeps the snapshot
//! incrementally true, including what was decided but is not visible yet.

mod act;
mod affinity;
mod claims;
mod cluster;
mod demand;
mod filter;
mod plan;
mod pods;
mod run;
mod score;
mod taints;
#[cfg(test)]
mod tests;
mod views;
mod volumes;
mod waiting;

pub use run::run;
