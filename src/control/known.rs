//! The operations that are known: by their ids, and those of a call in their order.
//!
//! Belongs here: finding them. Does not: what becomes of them (`run`), which of them go (`retention`).

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use uuid::Uuid;

use super::call::CallKey;
use super::run::Entry;

#[derive(Default)]
pub(super) struct Operations {
    by_id: HashMap<Uuid, Entry>,
    /// By their places among all operations.
    of_call: BTreeMap<CallKey, BTreeMap<i64, Uuid>>,
}

impl Operations {
    pub fn get(&self, id: &Uuid) -> Option<&Entry> {
        self.by_id.get(id)
    }

    pub fn get_mut(&mut self, id: &Uuid) -> Option<&mut Entry> {
        self.by_id.get_mut(id)
    }

    /// One more; it has its place already, and keeps it.
    pub fn insert(&mut self, entry: Entry) {
        let operation = &entry.operation;
        let key = CallKey::new(&operation.app, &operation.call);
        self.of_call.entry(key).or_default().insert(operation.seq, operation.id);
        self.by_id.insert(operation.id, entry);
    }

    pub fn remove(&mut self, id: &Uuid) -> Option<Entry> {
        let entry = self.by_id.remove(id)?;
        let key = CallKey::new(&entry.operation.app, &entry.operation.call);
        if let Some(places) = self.of_call.get_mut(&key) {
            places.remove(&entry.operation.seq);
            if places.is_empty() {
                self.of_call.remove(&key);
            }
        }
        Some(entry)
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.by_id.values()
    }

    /// Those of a call that stand behind a place, in their order.
    pub fn of_call(&self, key: &CallKey, after: i64) -> impl Iterator<Item = &Entry> {
        let places = self.of_call.get(key).into_iter();
        let behind = places.flat_map(move |places| places.range((Bound::Excluded(after), Bound::Unbounded)));
        behind.filter_map(|(_, id)| self.by_id.get(id))
    }
}
