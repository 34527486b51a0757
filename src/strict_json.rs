//! JSON without a member named twice, at any depth: two readers of such a text could see two values (RFC 8725, section
//! 2.6; RFC 8259, section 4). And structs from objects alone: serde also takes a list of their members' values.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    Deserialize, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

/// Most objects and lists within one another: nothing that is read here has more than five.
const MAX_LEVELS: usize = 32;

/// The one object in these bytes; `None` for anything else.
pub fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    if is_deeper_than(MAX_LEVELS, bytes) {
        return None;
    }
    match serde_json::from_slice(bytes) {
        Ok(Strict(Value::Object(members))) => Some(members),
        _ => None,
    }
}

/// Told without recursion, so that a deep text costs no stack.
fn is_deeper_than(most: usize, bytes: &[u8]) -> bool {
    let (mut levels, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => levels += 1,
            b'}' | b']' if !in_text => levels = levels.saturating_sub(1),
            _ => {}
        }
        if levels > most {
            return true;
        }
    }
    false
}

/// A JSON value, to be read as some type.
pub struct Strict(Value);

impl Strict {
    /// The one value in these bytes.
    #[cfg(any(feature = "http", test))]
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes)
    }
}

impl IntoDeserializer<'_, Error> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Strict));
                let read = visitor.visit_seq(&mut items)?;
                items.end().map(|()| read)
            }
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, Strict(value)));
                let mut members = MapDeserializer::new(members);
                let read = visitor.visit_map(&mut members)?;
                members.end().map(|()| read)
            }
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.0 {
            Value::Array(_) => Err(Error::invalid_type(Unexpected::Seq, &"an object")),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, _>()? {
            if map.insert(name, value).is_some() {
                return Err(serde::de::Error::custom("a member comes twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Inner {
        list: Vec<u32>,
        maybe: Option<Box<Inner>>,
    }

    fn read(text: &str) -> Option<Inner> {
        Inner::deserialize(Strict::parse(text.as_bytes()).ok()?).ok()
    }

    #[test]
    fn a_struct_comes_from_an_object_and_from_no_list() {
        let inner = |maybe| Inner { list: vec![1], maybe };
        assert_eq!(read(r#"{"list":[1],"maybe":null}"#), Some(inner(None)));
        let nested = read(r#"{"list":[1],"maybe":{"list":[1],"more":{"x":[1.5,null,"y",true,-1]}}}"#);
        assert_eq!(nested, Some(inner(Some(Box::new(inner(None))))));
        assert_eq!(read("[[1],null]"), None);
        assert_eq!(read(r#"{"list":[1],"maybe":[[1],null]}"#), None);
    }

    #[test]
    fn a_list_of_one_has_one() {
        let one = |text: &str| <[u32; 1]>::deserialize(Strict::parse(text.as_bytes()).ok()?).ok();
        assert_eq!([one("[7]"), one("[7,8]"), one("[]")], [Some([7]), None, None]);
    }

    #[test]
    fn nesting_ends_at_32_levels() {
        let nested = |lists: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(lists), "]".repeat(lists));
        assert!(object(nested(31).as_bytes()).is_some());
        assert!(object(nested(32).as_bytes()).is_none());
        assert!(object(nested(100_000).as_bytes()).is_none());
        // Brackets of a text are none.
        let text = format!(r#"{{"x":"\"{}\\"}}"#, "[".repeat(100));
        assert!(object(text.as_bytes()).is_some(), "{text}");
        let text = format!(r#"{{"x":"\\","y":{}{}}}"#, "[".repeat(40), "]".repeat(40));
        assert!(object(text.as_bytes()).is_none(), "{text}");
    }

    #[test]
    fn a_member_comes_once() {
        assert!(object(br#"{"a":1,"b":{"a":1}}"#).is_some());
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":[{"b":1,"b":2}]}"#, "[]", "1", "{} {}", ""]
        {
            assert!(object(text.as_bytes()).is_none(), "{text}");
        }
    }
}
