//! The controller's promises, played on a small API in memory.

mod invariants;
mod model;
mod scenario;
mod scenarios;
mod simulation;
