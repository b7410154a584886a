//! The Job's rules.
