//! The columns a definition asks for.

use jiff::Timestamp;
use serde_json::Value;

use super::text;
use crate::jsonpath::JsonPath;
use crate::meta;
use crate::resource::Column;
use crate::resources::columns::NAME;
use crate::table::since;

/// Where a cell's value comes from.
#[derive(Debug)]
pub(super) enum Cell {
    /// The object's name.
    Name,
    /// A path, and the type the column was declared with.
    Path(Option<JsonPath>, &'static str),
}

/// The columns and their cells: the name, then what is asked for, or the age when nothing is.
pub(super) fn read(declared: &Value) -> Vec<(Column, Cell)> {
    let mut columns = vec![(NAME, Cell::Name)];
    let declared = declared.as_array().map_or(&[][..], Vec::as_slice);
    if declared.is_empty() {
        columns.push((
            Column {
                name: "Age",
                kind: "date",
                ..crate::resources::columns::AGE
            },
            Cell::Path(JsonPath::parse(".metadata.creationTimestamp"), "date"),
        ));
    }
    for column in declared {
        let path = column["jsonPath"].as_str().unwrap_or_default();
        let described = column["description"]
            .as_str()
            .filter(|text| !text.is_empty());
        let described = described.map_or_else(
            || format!("Custom resource definition column (in JSONPath format): {path}"),
            ToOwned::to_owned,
        );
        let kind = text(&column["type"]);
        let priority = column["priority"].as_i64().unwrap_or(0);
        columns.push((
            Column {
                name: text(&column["name"]),
                kind,
                format: text(&column["format"]),
                description: text(&Value::from(described)),
                priority: i32::try_from(priority).unwrap_or(i32::MAX),
            },
            Cell::Path(JsonPath::parse(path), kind),
        ));
    }
    columns
}

impl Cell {
    /// What the cell shows of an object.
    pub(super) fn show(&self, object: &Value, now: Timestamp) -> Value {
        let (path, kind) = match self {
            Self::Name => return meta::name(object).into(),
            Self::Path(path, kind) => (path, *kind),
        };
        let found = path.as_ref().and_then(|path| path.first(object));
        let Some(found) = found.filter(|found| !found.is_null()) else {
            return Value::Null;
        };
        match (kind, found) {
            ("integer", Value::Number(number)) => match number.as_i64() {
                Some(whole) => whole.into(),
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a cell that is too small for its number"
                )]
                None => number.as_f64().map(|float| float as i64).into(),
            },
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => found.clone(),
            ("string", Value::String(text)) => text.as_str().into(),
            ("string", other) => other.to_string().into(),
            ("date", Value::String(_)) => match since(found, now) {
                text if text == "<unknown>" => "<invalid>".into(),
                text => text.into(),
            },
            _ => Value::Null,
        }
    }
}
