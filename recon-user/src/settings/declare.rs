//! How a setting is declared once.
//!
//! In: rows of a key, a type, a default and a doc comment; `as` gives a key that is no name in
//! Rust. Out: a struct with its default, the reader and writer of its TOML table and its rows in
//! the docs. A doc comment of several lines is one cell there.

/// Declares a table of recon.toml.
macro_rules! table {
    (
        $(#[$meta:meta])*
        $struct_visibility:vis $name:ident ($example:literal) {
            $(
                $(#[doc = $doc:literal])+
                $key:ident $(as $name_in_file:literal)?: $type:ty = $default:expr;
            )*
        }
        $($(#[doc = $extra_doc:literal])+ $visibility:vis $extra:ident: $extra_type:ty;)*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        $struct_visibility struct $name {
            $(
                $(#[doc = $doc])+
                #[serde(skip_serializing_if = "SettingType::is_unset")]
                $(#[serde(rename = $name_in_file)])?
                pub(crate) $key: $type,
            )*
            $($(#[doc = $extra_doc])+ #[serde(skip)] $visibility $extra: $extra_type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($key: $default,)*
                    $($extra: Default::default(),)*
                }
            }
        }

        impl $crate::settings::value::TomlTable for $name {
            const KEYS: &'static [&'static str] = &[
                $($crate::settings::declare::key_name!($key $($name_in_file)?)),*
            ];
            const DOCS: &'static [&'static str] = &[$(concat!($($doc),+)),*];
            const EXAMPLE: &'static str = $example;

            fn set(&mut self, key: &str, value: &TomlValue<'_>, reader: &mut TomlReader<'_>) {
                match key {
                    $($crate::settings::declare::key_name!($key $($name_in_file)?) => {
                        if let Some(read) = SettingType::read(value, reader) {
                            self.$key = read;
                        }
                    })*
                    _ => {}
                }
            }

            #[cfg(test)]
            fn describe_entries(prefix: &str, rows: &mut Vec<$crate::settings::value::DocRow>) {
                let default = Self::default();
                $(default.$key.describe(
                    format!(
                        "{prefix}{}",
                        $crate::settings::declare::key_name!($key $($name_in_file)?)
                    ),
                    concat!($($doc),+),
                    rows,
                );)*
            }
        }
    };
}

/// The name of a setting in the file: that of its field, unless Rust has another use for it.
macro_rules! key_name {
    ($key:ident) => {
        stringify!($key)
    };
    ($key:ident $name:literal) => {
        $name
    };
}

pub(super) use {key_name, table};
