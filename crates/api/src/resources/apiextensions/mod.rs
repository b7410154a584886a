//! The kinds of apiextensions.k8s.io.

pub mod customresourcedefinition;
