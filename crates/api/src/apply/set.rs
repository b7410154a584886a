//! A set of fields. It is its own JSON, the form `FieldsV1` that objects carry, so that sets nobody touches cost
//! nothing to read and write. A key is an [`element`](super::element); a path belongs to the set when what it leads
//! to is empty or has `.`. It refuses to know schemas.

use serde_json::{Map, Value};

use super::element::{self, SELF};

/// What a path leads to in a set.
pub(super) type Node = Map<String, Value>;

/// A set of paths to fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet(Node);

/// Where a walk through an object is. Steps are only made into elements when a path is put into a set.
#[derive(Clone, Copy)]
pub(super) struct Path<'p> {
    pub(super) parent: Option<&'p Path<'p>>,
    pub(super) step: Step<'p>,
}

/// One step of a walk.
#[derive(Clone, Copy)]
pub(super) enum Step<'p> {
    Field(&'p str),
    /// A list item, by its element.
    Item(&'p str),
}

impl Path<'_> {
    fn element(&self) -> String {
        match self.step {
            Step::Field(name) => element::field(name),
            Step::Item(element) => element.to_owned(),
        }
    }
}

impl FieldSet {
    /// Reads `fieldsV1` and brings its elements into their one form. The error says what is wrong.
    pub fn parse(fields: &Value) -> Result<Self, String> {
        match fields {
            Value::Null => Ok(Self::default()),
            Value::Object(fields) => {
                let mut node = parse_node(fields)?;
                node.remove(SELF);
                Ok(Self(node))
            }
            other => Err(format!("{other} is no set of fields")),
        }
    }

    /// A set from JSON that this crate wrote.
    pub(super) fn trusted(fields: Value) -> Self {
        match fields {
            Value::Object(node) => Self(node),
            _ => Self::default(),
        }
    }

    /// A set of dotted paths such as `metadata.labels`.
    pub fn of_paths(paths: &[&str]) -> Self {
        let mut set = Self::default();
        for path in paths {
            set.insert_fields(path.split('.'));
        }
        set
    }

    fn insert_fields<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        let mut set = Node::new();
        let mut names: Vec<&str> = names.collect();
        while let Some(name) = names.pop() {
            set = Node::from_iter([(element::field(name), Value::Object(set))]);
        }
        self.union(&Self(set));
    }

    /// The set as the value of `fieldsV1`.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a path into the set, with what `node` says about the path and what is below.
    pub(super) fn insert(&mut self, path: &Path<'_>, node: Node) {
        let parent = match path.parent {
            None => &mut self.0,
            Some(parent) => descend(&mut self.0, parent),
        };
        match parent.entry(path.element()).or_insert(Value::Null) {
            Value::Object(present) => unite(present, &node),
            vacant => *vacant = Value::Object(node),
        }
    }

    /// Adds the paths of another set.
    pub fn union(&mut self, other: &Self) {
        unite_children(&mut self.0, &other.0);
    }

    /// Takes the paths of another set out; what is below them stays.
    pub fn subtract(&mut self, other: &Self) {
        subtract(&mut self.0, &other.0);
    }

    /// Takes the paths of another set out, and all that is below them.
    pub fn subtract_below(&mut self, other: &Self) {
        subtract_below(&mut self.0, &other.0);
    }

    /// The paths that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(intersect(&self.0, &other.0))
    }

    /// Whether the sets have a path in common.
    pub fn intersects(&self, other: &Self) -> bool {
        meet(&self.0, &other.0)
    }

    /// The paths in upstream's order, as lists of elements.
    pub fn paths(&self) -> Vec<Vec<&str>> {
        let mut paths = Vec::new();
        collect(&self.0, &mut Vec::new(), &mut paths);
        paths
    }

    /// What is below the root.
    pub(super) fn root(&self) -> &Node {
        &self.0
    }
}

/// A set whose content another walk made.
impl From<Node> for FieldSet {
    fn from(node: Node) -> Self {
        Self(node)
    }
}

/// A path as people read it.
pub(super) fn show(path: &[&str]) -> String {
    let mut text = String::new();
    for element in path {
        element::show(element, &mut text);
    }
    text
}

/// Whether the path that leads to a node belongs to the set.
pub(super) fn is_member(node: &Node) -> bool {
    node.is_empty() || node.contains_key(SELF)
}

/// The node that an element leads to.
pub(super) fn child<'n>(node: &'n Node, element: &str) -> Option<&'n Node> {
    node.get(element).and_then(Value::as_object)
}

/// A node with these children, whose path is in the set or not.
pub(super) fn finish(mut children: Node, member: bool) -> Node {
    if member && !children.is_empty() {
        children.insert(SELF.to_owned(), Value::Object(Node::new()));
    }
    children
}

fn children(node: &Node) -> impl Iterator<Item = (&String, &Node)> {
    node.iter()
        .filter(|(element, _)| *element != SELF)
        .filter_map(|(element, below)| Some((element, below.as_object()?)))
}

fn parse_node(fields: &Node) -> Result<Node, String> {
    let mut node = Node::new();
    for (text, below) in fields {
        let below = match below {
            Value::Object(below) => below,
            Value::Null => &Node::new(),
            other => return Err(format!("{other} is no set of fields")),
        };
        if text == SELF {
            node.insert(SELF.to_owned(), Value::Object(Node::new()));
            continue;
        }
        if let Some(element) = element::canonical(text)? {
            node.insert(element, Value::Object(parse_node(below)?));
        }
    }
    // `{".":{}}` says what `{}` says.
    if node.len() == 1 {
        node.remove(SELF);
    }
    Ok(node)
}

fn descend<'n>(root: &'n mut Node, path: &Path<'_>) -> &'n mut Node {
    let parent = match path.parent {
        None => root,
        Some(parent) => descend(root, parent),
    };
    let fresh = !parent.contains_key(&path.element());
    let entry = parent
        .entry(path.element())
        .or_insert_with(|| Value::Object(Node::new()));
    let Value::Object(node) = entry else {
        unreachable!("sets hold nothing but objects: they are parsed, or made here")
    };
    // An empty node is a path in the set, and stays one when something comes below it.
    if node.is_empty() && !fresh {
        node.insert(SELF.to_owned(), Value::Object(Node::new()));
    }
    node
}

fn unite(node: &mut Node, other: &Node) {
    let member = is_member(node) || is_member(other);
    node.remove(SELF);
    unite_children(node, other);
    if member && !node.is_empty() {
        node.insert(SELF.to_owned(), Value::Object(Node::new()));
    }
}

fn unite_children(node: &mut Node, other: &Node) {
    for (element, theirs) in children(other) {
        match node.get_mut(element) {
            Some(Value::Object(ours)) => unite(ours, theirs),
            _ => {
                node.insert(element.clone(), Value::Object(theirs.clone()));
            }
        }
    }
}

fn subtract(node: &mut Node, other: &Node) {
    for (element, theirs) in children(other) {
        let Some(Value::Object(ours)) = node.get_mut(element) else {
            continue;
        };
        let member = is_member(ours) && !is_member(theirs);
        ours.remove(SELF);
        subtract(ours, theirs);
        if !ours.is_empty() {
            if member {
                ours.insert(SELF.to_owned(), Value::Object(Node::new()));
            }
        } else if !member {
            node.remove(element);
        }
    }
}

fn subtract_below(node: &mut Node, other: &Node) {
    for (element, theirs) in children(other) {
        let Some(Value::Object(ours)) = node.get_mut(element) else {
            continue;
        };
        if is_member(theirs) {
            node.remove(element);
            continue;
        }
        let member = is_member(ours);
        subtract_below(ours, theirs);
        if ours.len() == 1 {
            ours.remove(SELF);
        }
        if ours.is_empty() && !member {
            node.remove(element);
        }
    }
}

fn intersect(node: &Node, other: &Node) -> Node {
    let mut both = Node::new();
    for (element, ours) in children(node) {
        if let Some(theirs) = child(other, element) {
            let member = is_member(ours) && is_member(theirs);
            let below = intersect(ours, theirs);
            if member || !below.is_empty() {
                both.insert(element.clone(), Value::Object(finish(below, member)));
            }
        }
    }
    both
}

fn meet(node: &Node, other: &Node) -> bool {
    let (few, many) = if node.len() <= other.len() {
        (node, other)
    } else {
        (other, node)
    };
    children(few).any(|(element, ours)| {
        child(many, element)
            .is_some_and(|theirs| (is_member(ours) && is_member(theirs)) || meet(ours, theirs))
    })
}

fn collect<'n>(node: &'n Node, path: &mut Vec<&'n str>, paths: &mut Vec<Vec<&'n str>>) {
    let mut below: Vec<(&str, &Node)> = children(node)
        .map(|(element, below)| (element.as_str(), below))
        .collect();
    below.sort_by(|(a, _), (b, _)| element::order(a, b));
    for (element, _) in below.iter().filter(|(_, below)| is_member(below)) {
        path.push(element);
        paths.push(path.clone());
        path.pop();
    }
    for (element, below) in below {
        path.push(element);
        collect(below, path, paths);
        path.pop();
    }
}
