//! JSON of an alert's fields, without a look at each byte.
//!
//! In: what serde serializes. Out: the same bytes as those of `serde_json`.
//! The decisions held here:
//! - `serde_json` looks at each byte of a name and of a text for what needs an escape: 28 % of an
//!   alert's instructions. Names of fields are constants of the code and need none. Texts are
//!   looked at in words; the few that need an escape, and numbers, are left to `serde_json`.
//! - sonic-rs has such a writer too, with ten more crates and its own unsafe code for each
//!   processor.

use std::fmt::{self, Display, Write as _};
use std::mem;

use serde::Serialize;
use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::{Error, Result};

const NULL: &[u8] = b"null";

/// Adds a value to a line.
pub(super) fn write_json(line: &mut Vec<u8>, value: &impl Serialize) -> Result<()> {
    value.serialize(JsonWriter { out: line })
}

/// Writes one value.
struct JsonWriter<'a> {
    out: &'a mut Vec<u8>,
}

/// Writes what a list or an object holds, and its end.
struct Members<'a> {
    out: &'a mut Vec<u8>,
    /// What comes before the next one: the beginning, or a comma.
    before: u8,
    end: &'static [u8],
}

/// Whether JSON needs an escape for a byte.
const fn needs_escape(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// A number that is not 0 if JSON needs an escape for a byte of a word.
const fn find_escapes(word: u64) -> u64 {
    /// A one, and the highest bit, in each byte.
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHEST: u64 = ONES << 7;
    // Taking something from a smaller byte sets its highest bit, which was not set before.
    const fn find_below(word: u64, than: u8) -> u64 {
        word.wrapping_sub(ONES * than as u64) & !word
    }
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    (find_below(word, b' ') | find_below(quote, 1) | find_below(backslash, 1)) & HIGHEST
}

/// Whether a text is the same in JSON. The last word of a text repeats some of the one before.
fn is_plain(text: &[u8]) -> bool {
    if let Some(last) = text.last_chunk() {
        let (words, _) = text.as_chunks();
        let find = |found, word: &[u8; 8]| found | find_escapes(u64::from_ne_bytes(*word));
        words.iter().fold(find(0, last), find) == 0
    } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let [first, last] = [first, last].map(|half| u64::from(u32::from_ne_bytes(*half)));
        find_escapes((first << u32::BITS) | last) == 0
    } else {
        !text.iter().any(|&byte| needs_escape(byte))
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    if !is_plain(text.as_bytes()) {
        return serde_json::to_writer(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

/// Text that is written as it is.
struct Unescaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Unescaped<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Writes it first, and escapes it if it turns out to need that.
fn write_display(out: &mut Vec<u8>, value: &(impl Display + ?Sized)) -> Result<()> {
    let begin = out.len();
    out.push(b'"');
    write!(Unescaped(out), "{value}").map_err(Error::custom)?;
    if !is_plain(&out[begin + 1..]) {
        let text = String::from_utf8_lossy(&out[begin + 1..]).into_owned();
        out.truncate(begin);
        return serde_json::to_writer(out, &text);
    }
    out.push(b'"');
    Ok(())
}

impl<'a> JsonWriter<'a> {
    fn members(self, begin: u8, end: &'static [u8]) -> Members<'a> {
        Members {
            out: self.out,
            before: begin,
            end,
        }
    }

    /// The only member of an object: the name of a variant, and its value.
    fn variant(self, name: &'static str) -> Self {
        write_name(self.out, b'{', name);
        self
    }
}

/// Writes what comes before the value of a field. Inlined, `name` is a constant, and all of it is
/// one copy of a known size.
#[inline(always)]
fn write_name(out: &mut Vec<u8>, before: u8, name: &'static str) {
    /// The quotes, the colon, and what comes before them.
    const AROUND: usize = 4;
    /// Longer than most.
    const ROOM: usize = 32;
    debug_assert!(is_plain(name.as_bytes()), "{name}");
    let mut text = [0; ROOM];
    let length = name.len() + AROUND;
    if length <= ROOM {
        text[0] = before;
        text[1] = b'"';
        text[2..length - 2].copy_from_slice(name.as_bytes());
        text[length - 2..length].copy_from_slice(b"\":");
        out.extend_from_slice(&text[..length]);
    } else {
        out.extend_from_slice(&[before, b'"']);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
    }
}

impl<'a> Members<'a> {
    /// What to write before the next one.
    #[inline]
    const fn begin(&mut self) -> u8 {
        mem::replace(&mut self.before, b',')
    }

    #[inline]
    fn item(&mut self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        let before = self.begin();
        self.out.push(before);
        value.serialize(JsonWriter { out: self.out })
    }

    #[inline(always)]
    fn field(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        let before = self.begin();
        write_name(self.out, before, name);
        value.serialize(JsonWriter { out: self.out })
    }

    fn end_all(self) -> Result<()> {
        if self.before != b',' {
            self.out.push(self.before);
        }
        self.out.extend_from_slice(self.end);
        Ok(())
    }
}

/// What `serde_json` writes as fast.
macro_rules! by_serde_json {
    ($($name:ident: $type:ty),*) => {
        $(
            #[inline]
            fn $name(self, value: $type) -> Result<()> {
                serde_json::to_writer(self.out, &value)
            }
        )*
    };
}

impl<'a> Serializer for JsonWriter<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Members<'a>;
    type SerializeTuple = Members<'a>;
    type SerializeTupleStruct = Members<'a>;
    type SerializeTupleVariant = Members<'a>;
    type SerializeMap = Members<'a>;
    type SerializeStruct = Members<'a>;
    type SerializeStructVariant = Members<'a>;

    by_serde_json! {
        serialize_bool: bool, serialize_char: char, serialize_f32: f32, serialize_f64: f64,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_i128: i128, serialize_u128: u128
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<()> {
        write_text(self.out, text)
    }

    #[inline]
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<()> {
        write_display(self.out, value)
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<()> {
        self.collect_seq(bytes)
    }

    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.out.extend_from_slice(NULL);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<()> {
        self.serialize_str(name)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<()> {
        let variant = self.variant(name);
        value.serialize(JsonWriter { out: variant.out })?;
        variant.out.push(b'}');
        Ok(())
    }

    #[inline]
    fn serialize_seq(self, _: Option<usize>) -> Result<Members<'a>> {
        Ok(self.members(b'[', b"]"))
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Members<'a>> {
        Ok(self.members(b'[', b"]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Members<'a>> {
        Ok(self.members(b'[', b"]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Members<'a>> {
        Ok(self.variant(name).members(b'[', b"]}"))
    }

    #[inline]
    fn serialize_map(self, _: Option<usize>) -> Result<Members<'a>> {
        Ok(self.members(b'{', b"}"))
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members<'a>> {
        Ok(self.members(b'{', b"}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Members<'a>> {
        Ok(self.variant(name).members(b'{', b"}}"))
    }
}

/// The traits of lists and of structures differ by their names alone.
macro_rules! members {
    ($($kind:ident: fn $add:ident($($name:ident: $type:ty)?) = $by:ident;)*) => {
        $(
            impl $kind for Members<'_> {
                type Ok = ();
                type Error = Error;

                #[inline(always)]
                fn $add<T: Serialize + ?Sized>(
                    &mut self,
                    $($name: $type,)?
                    value: &T,
                ) -> Result<()> {
                    self.$by($($name,)? value)
                }

                fn end(self) -> Result<()> {
                    self.end_all()
                }
            }
        )*
    };
}

members! {
    SerializeSeq: fn serialize_element() = item;
    SerializeTuple: fn serialize_element() = item;
    SerializeTupleStruct: fn serialize_field() = item;
    SerializeTupleVariant: fn serialize_field() = item;
    SerializeStruct: fn serialize_field(name: &'static str) = field;
    SerializeStructVariant: fn serialize_field(name: &'static str) = field;
}

impl SerializeMap for Members<'_> {
    type Ok = ();
    type Error = Error;

    /// A key may be any text, and nothing else.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        let before = self.begin();
        self.out.push(before);
        let begin = self.out.len();
        key.serialize(JsonWriter { out: self.out })?;
        match self.out.get(begin) {
            Some(b'"') => Ok(()),
            _ => Err(Error::custom("key must be a string")),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.out.push(b':');
        value.serialize(JsonWriter { out: self.out })
    }

    fn end(self) -> Result<()> {
        self.end_all()
    }
}
