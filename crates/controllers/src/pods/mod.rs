//! What a pod's state means to the workload that controls it (C-11), and how pods are made from a template
//! and taken away (D-7, D-8). Time is passed in; which pods there should be is not decided here.

mod control;
mod state;

pub(crate) use control::{BURST, Control, from_template, slow_start};
pub(crate) use state::{
    available_in, is_active, is_available, is_finished, is_pending, is_ready, phase, ready_since,
};
