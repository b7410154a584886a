//! End-to-end tests: real `kubectl`, real containers, inside a lab. Knows Plinth only from outside, as a
//! person at a terminal does.

pub mod clients;
pub mod commands;
mod desk;
pub mod faults;
mod processes;
mod server;
mod shell;
pub mod story;

pub use processes::{Process, processes};
pub use server::{Server, Stop};
pub use shell::{Background, Output, Shell};
