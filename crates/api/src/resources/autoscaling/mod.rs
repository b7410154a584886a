//! The kinds of this API group, one file or folder each.

pub(crate) mod horizontalpodautoscaler;
