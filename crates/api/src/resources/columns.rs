//! Table columns several kinds share.

use crate::resource::Column;

/// The column that names the object.
pub(crate) const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    priority: 0,
};

/// The column that shows how long ago the object was created.
pub(crate) const AGE: Column = Column {
    name: "Age",
    kind: "string",
    format: "",
    description: "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
    priority: 0,
};

/// Columns of kinds that show nothing of their own.
pub(crate) const NAME_AND_AGE: &[Column] = &[NAME, AGE];

/// A string column shown always.
pub(crate) const fn cell(name: &'static str, description: &'static str) -> Column {
    Column {
        name,
        kind: "string",
        format: "",
        description,
        priority: 0,
    }
}

/// A string column shown only with `-o wide`.
pub(crate) const fn wide(name: &'static str, description: &'static str) -> Column {
    Column {
        name,
        kind: "string",
        format: "",
        description,
        priority: 1,
    }
}

/// A number column shown always.
pub(crate) const fn integer(name: &'static str, description: &'static str) -> Column {
    Column {
        kind: "integer",
        ..cell(name, description)
    }
}

/// A truth column shown always.
pub(crate) const fn boolean(name: &'static str, description: &'static str) -> Column {
    Column {
        kind: "boolean",
        ..cell(name, description)
    }
}

/// The column of kinds that print when the object was created, as a time.
pub(crate) const CREATED_AT: Column = Column {
    name: "Created At",
    kind: "date",
    ..AGE
};

/// Wide columns of kinds with a pod template.
pub(crate) const CONTAINERS: Column =
    wide("Containers", "Names of each container in the template.");

/// Wide columns of kinds with a pod template.
pub(crate) const IMAGES: Column = wide(
    "Images",
    "Images referenced by each container in the template.",
);
