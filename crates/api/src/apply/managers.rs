//! `metadata.managedFields`: who manages which fields of an object, read and written. It refuses to know how a
//! manager comes by its fields.

use serde_json::{Map, Value};

use super::set::FieldSet;

/// More managers that update than this are not told apart: the oldest become one.
const UPDATERS: usize = 10;
/// The manager that stands for them.
const ANCIENT: &str = "ancient-changes";
/// The member of `metadata` that this is about.
const MANAGED_FIELDS: &str = "managedFields";

/// How a manager came by its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    /// By applying a configuration that lists them.
    Apply,
    /// By changing them.
    Update,
}

impl Operation {
    fn text(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// A manager of an object and its fields. Of one manager there is one entry for each operation and subresource, and
/// for updates for each version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) manager: String,
    pub(super) operation: Operation,
    pub(super) api_version: String,
    pub(super) subresource: String,
    /// When the manager last changed the object.
    pub(super) time: Option<String>,
    pub(super) fields: FieldSet,
}

/// The managers of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Managers(pub(super) Vec<Entry>);

impl Entry {
    /// Whether two entries are of one manager.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// The manager as conflicts name it.
    pub(super) fn title(&self) -> String {
        let mut title = Value::from(self.manager.as_str()).to_string();
        if !self.subresource.is_empty() {
            title.push_str(" with subresource ");
            title.push_str(&Value::from(self.subresource.as_str()).to_string());
        }
        if self.operation == Operation::Update {
            title.push_str(" using ");
            title.push_str(&self.api_version);
        }
        title
    }

    /// Reads an entry. Fields that this server wrote itself are taken as they are.
    fn read(entry: Value, own: bool) -> Result<Self, String> {
        let Value::Object(mut entry) = entry else {
            return Err("an entry must be an object".to_owned());
        };
        let mut text = |name: &str| match entry.remove(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let operation = match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err("operation must be `Apply` or `Update`".to_owned()),
        };
        let (manager, api_version, subresource) =
            (text("manager"), text("apiVersion"), text("subresource"));
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        if text("fieldsType") != "FieldsV1" {
            return Err("fieldsType must be `FieldsV1`".to_owned());
        }
        let time = Some(text("time")).filter(|time| !time.is_empty());
        let fields = entry.remove("fieldsV1").unwrap_or_default();
        Ok(Self {
            manager,
            operation,
            api_version,
            subresource,
            time,
            fields: if own {
                FieldSet::trusted(fields)
            } else {
                FieldSet::parse(&fields)?
            },
        })
    }

    fn write(self) -> Value {
        let mut entry = Map::new();
        let mut put = |name: &str, text: String| {
            if !text.is_empty() {
                entry.insert(name.to_owned(), text.into());
            }
        };
        put("manager", self.manager);
        put("operation", self.operation.text().to_owned());
        put("apiVersion", self.api_version);
        put("subresource", self.subresource);
        put("time", self.time.unwrap_or_default());
        put("fieldsType", "FieldsV1".to_owned());
        entry.insert("fieldsV1".to_owned(), self.fields.into_value());
        Value::Object(entry)
    }
}

impl Managers {
    /// The managers of a stored object.
    pub(super) fn of(object: &Value) -> Self {
        let stored = object["metadata"].get(MANAGED_FIELDS).cloned();
        stored.map_or_else(Self::default, |list| {
            Self::read(list, true).unwrap_or_default()
        })
    }

    /// Takes the managers out of an object that a client sent, to go on with them. A client that leaves them out, or
    /// sends what cannot be read, changes nothing about them; one that sends none, or one without content, has them
    /// forgotten.
    pub(super) fn take(object: &mut Value, live: Option<&Value>, subresource: bool) -> Self {
        let stored = live.map(|live| &live["metadata"][MANAGED_FIELDS]);
        let sent = take_managed_fields(object);
        let of_live = || live.map_or_else(Self::default, Self::of);
        match sent {
            // What comes back as it went out needs no check and no copy.
            Some(sent) if stored == Some(&sent) => Self::read(sent, true).unwrap_or_default(),
            Some(Value::Array(sent)) if !subresource => {
                if sent.is_empty()
                    || matches!(sent.as_slice(), [Value::Object(one)] if one.is_empty())
                {
                    return Self::default();
                }
                match Self::read(Value::Array(sent), false) {
                    Ok(managers) => managers,
                    Err(_) => of_live(),
                }
            }
            _ => of_live(),
        }
    }

    fn read(list: Value, own: bool) -> Result<Self, String> {
        let Value::Array(list) = list else {
            return Ok(Self::default());
        };
        let mut managers = Self(Vec::with_capacity(list.len()));
        for entry in list {
            let entry = Entry::read(entry, own)?;
            match managers.0.iter_mut().find(|known| known.is(&entry)) {
                Some(known) => *known = entry,
                None => managers.0.push(entry),
            }
        }
        Ok(managers)
    }

    /// Puts the managers into an object: appliers first, then by time and name. None leave no trace.
    pub(super) fn put(mut self, object: &mut Value) {
        if self.0.is_empty() {
            return;
        }
        self.0.sort_by(|a, b| {
            let key = |entry: &Entry| {
                (
                    entry.operation,
                    entry.time.clone(),
                    entry.manager.clone(),
                    entry.api_version.clone(),
                    entry.subresource.clone(),
                )
            };
            key(a).cmp(&key(b))
        });
        let list = self.0.into_iter().map(Entry::write).collect();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert(MANAGED_FIELDS.to_owned(), Value::Array(list));
        }
    }

    /// All others lose these fields, whatever they did with them.
    pub(super) fn lose(&mut self, fields: &FieldSet) {
        for entry in &mut self.0 {
            if entry.fields.intersects(fields) {
                entry.fields.subtract(fields);
            }
        }
    }

    /// Lets managers without fields go.
    pub(super) fn tidy(&mut self) {
        self.0.retain(|entry| !entry.fields.is_empty());
    }

    /// Adds fields to a manager, new or known.
    pub(super) fn gain(&mut self, entry: Entry) {
        match self.0.iter_mut().find(|known| known.is(&entry)) {
            Some(known) => {
                known.fields.union(&entry.fields);
                known.time = entry.time;
            }
            None => self.0.push(entry),
        }
    }

    /// Makes the oldest updaters one when there are too many.
    pub(super) fn cap(&mut self) {
        let updaters = self
            .0
            .iter()
            .filter(|entry| entry.operation == Operation::Update);
        let mut surplus = updaters.count().saturating_sub(UPDATERS);
        if surplus == 0 {
            return;
        }
        self.0
            .sort_by(|a, b| (&a.time, &a.manager).cmp(&(&b.time, &b.manager)));
        let mut kept: Vec<Entry> = Vec::with_capacity(self.0.len());
        // Where the oldest of each version is.
        let mut buckets: Vec<(String, usize)> = Vec::new();
        for entry in std::mem::take(&mut self.0) {
            if surplus == 0 || entry.operation != Operation::Update {
                kept.push(entry);
                continue;
            }
            let bucket = buckets
                .iter()
                .find(|(version, _)| *version == entry.api_version);
            if let Some((_, at)) = bucket {
                let bucket = &mut kept[*at];
                ANCIENT.clone_into(&mut bucket.manager);
                bucket.subresource.clear();
                bucket.fields.union(&entry.fields);
                bucket.time = entry.time;
                surplus -= 1;
            } else {
                buckets.push((entry.api_version.clone(), kept.len()));
                kept.push(entry);
            }
        }
        self.0 = kept;
    }
}

/// Takes `metadata.managedFields` out of an object.
pub(super) fn take_managed_fields(object: &mut Value) -> Option<Value> {
    object
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .and_then(|metadata| metadata.remove(MANAGED_FIELDS))
}

/// Lets a write that changes nothing but the times of managers change nothing at all.
pub fn keep_times(new: &mut Value, old: &Value) {
    let (Some(ours), Some(theirs)) = (
        new["metadata"][MANAGED_FIELDS].as_array(),
        old["metadata"][MANAGED_FIELDS].as_array(),
    ) else {
        return;
    };
    if ours == theirs || ours.len() != theirs.len() {
        return;
    }
    let timeless = |list: &[Value]| {
        let mut list = list.to_vec();
        for entry in list.iter_mut().filter_map(Value::as_object_mut) {
            entry.remove("time");
        }
        list.sort_by_key(Value::to_string);
        list
    };
    if timeless(ours) != timeless(theirs) {
        return;
    }
    let own = std::mem::replace(
        &mut new["metadata"][MANAGED_FIELDS],
        old["metadata"][MANAGED_FIELDS].clone(),
    );
    if new != old {
        new["metadata"][MANAGED_FIELDS] = own;
    }
}
