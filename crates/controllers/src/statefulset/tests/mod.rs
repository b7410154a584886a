//! The controller's promises, played on a small API in memory.

mod scenario;
mod scenarios;
mod simulation;
