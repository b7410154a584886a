//! The image store through its public door, with archives made here. Needs root, for owners, devices and overlay marks.

mod archives;
mod bench;
mod copies;
mod dockerfile_builds;
mod fixture;
mod hostile_layers;
mod names_and_removal;
mod registry;
mod run_in_build;
mod whiteouts;
