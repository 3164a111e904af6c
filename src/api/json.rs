//! Reading JSON strictly: nothing twice, nothing unknown, nothing of another type, and words that say what is valid.
//!
//! Belongs here: members and their types. Does not: what a request means (`record`, `calls`).

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::error::{Error, Kind};

/// A value in which no member was lost: unlike `serde_json::Value`, it notices duplicates.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// Any number.
    Number(Number),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, its members in their order.
    Object(Vec<(String, Json)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Number(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Number(value.into()))
            }
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
                Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("a number beyond all bounds"))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::String(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
                let mut array = Vec::new();
                while let Some(item) = items.next_element()? {
                    array.push(item);
                }
                Ok(Json::Array(array))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
                let (mut members, mut seen) = (Vec::new(), HashSet::new());
                while let Some((name, value)) = entries.next_entry::<String, Json>()? {
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format!("the member {name:?} stands twice")));
                    }
                    members.push((name, value));
                }
                Ok(Json::Object(members))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Json {
    /// Reads a whole body.
    pub fn parse(bytes: &[u8]) -> Result<Json, Error> {
        serde_json::from_slice(bytes).map_err(|error| Error::new(Kind::Invalid, format!("the body is not valid JSON: {error}")))
    }

    /// The word for its type.
    fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }
}

/// What happens to members that nobody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// They are an error, told with the nearest member that is known.
    Refused,
    /// They are passed over.
    Ignored,
}

/// An object whose members are taken one by one; `null` is absent, and so are annotations such as `@odata.type`.
pub struct Members {
    /// Where it stands in the body, for error messages; empty at the top.
    place: String,
    members: Vec<(String, Json)>,
    annotations: Vec<(String, Json)>,
    known: Vec<&'static str>,
}

impl Members {
    /// The members of a whole body; an empty body is an empty object.
    pub fn of_body(bytes: &[u8]) -> Result<Members, Error> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Members::of("", Json::Object(Vec::new()));
        }
        Members::of("", Json::parse(bytes)?)
    }

    /// The members of an object at `place`.
    pub fn of(place: &str, json: Json) -> Result<Members, Error> {
        let Json::Object(members) = json else {
            let place_or_body = if place.is_empty() { "the body" } else { place };
            return Err(Error::invalid(place, format!("{place_or_body} must be an object, not {}", json.kind())));
        };
        let (annotations, members) = members.into_iter().partition(|(name, _)| name.contains("@odata."));
        Ok(Members { place: place.to_owned(), members, annotations, known: Vec::new() })
    }

    /// The path of one of its members.
    pub fn path(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    /// The value of `@odata.type`, if it is a string.
    pub fn odata_type(&self) -> Option<&str> {
        self.annotations.iter().find_map(|(name, value)| match value {
            Json::String(text) if name == "@odata.type" => Some(text.as_str()),
            _ => None,
        })
    }

    /// Takes a member out; `null` counts as absent.
    pub fn take(&mut self, name: &'static str) -> Option<Json> {
        self.known.push(name);
        let index = self.members.iter().position(|(known, _)| known == name)?;
        Some(self.members.remove(index).1).filter(|value| *value != Json::Null)
    }

    /// A boolean.
    pub fn bool(&mut self, name: &'static str) -> Result<Option<bool>, Error> {
        self.typed(name, "true or false", |value| match value {
            Json::Bool(value) => Ok(value),
            other => Err(other),
        })
    }

    /// A string.
    pub fn string(&mut self, name: &'static str) -> Result<Option<String>, Error> {
        self.typed(name, "a string", |value| match value {
            Json::String(value) => Ok(value),
            other => Err(other),
        })
    }

    /// An array.
    pub fn array(&mut self, name: &'static str) -> Result<Option<Vec<Json>>, Error> {
        self.typed(name, "an array", |value| match value {
            Json::Array(value) => Ok(value),
            other => Err(other),
        })
    }

    /// An object.
    pub fn object(&mut self, name: &'static str) -> Result<Option<Members>, Error> {
        let path = self.path(name);
        self.take(name).map(|value| Members::of(&path, value)).transpose()
    }

    /// A whole number within a range; `5.0` is none.
    pub fn integer(&mut self, name: &'static str, from: u32, to: u32) -> Result<Option<u32>, Error> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let path = self.path(name);
        let within = match &value {
            Json::Number(number) => number.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (from..=to).contains(n)),
            _ => None,
        };
        let shown = match &value {
            Json::Number(number) => number.to_string(),
            other => other.kind().to_owned(),
        };
        let message = format!("{path} must be a whole number from {from} to {to}, not {shown}");
        within.map(Some).ok_or_else(|| Error::invalid(path, message))
    }

    fn typed<T>(
        &mut self,
        name: &'static str,
        valid: &str,
        convert: impl FnOnce(Json) -> Result<T, Json>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let path = self.path(name);
        convert(value)
            .map(Some)
            .map_err(|other| Error::invalid(path.clone(), format!("{path} must be {valid}, not {}", other.kind())))
    }

    /// All that was wanted has been taken.
    pub fn finish(self, unknown: Unknown) -> Result<(), Error> {
        let Some((name, _)) = self.members.first().filter(|_| unknown == Unknown::Refused) else { return Ok(()) };
        let path = self.path(name);
        let nearest = self.known.iter().min_by_key(|known| distance(&known.to_lowercase(), &name.to_lowercase()));
        let hint = nearest.map(|known| format!("; the nearest known is {known}")).unwrap_or_default();
        Err(Error::invalid(path.clone(), format!("there is no member {path:?}{hint}")))
    }
}

/// How many characters must change (Levenshtein); long names count as far as 64 characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
