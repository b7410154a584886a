//! The Job's rules (kubernetes-behaviour.md §12 and upstream's Job API), as timelines and as properties.

mod disturbances;
mod scenarios;
mod simulation;
