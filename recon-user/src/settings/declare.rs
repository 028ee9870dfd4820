//! How a setting is declared once.
//!
//! In: rows of a key, a type, a default and a doc comment. Out: a struct with its default, the
//! reader and writer of its TOML table and its rows in the docs.

/// Declares a table of recon.toml.
macro_rules! table {
    (
        $(#[$meta:meta])*
        $struct_visibility:vis $name:ident ($example:literal) {
            $(
                #[doc = $doc:literal]
                $key:ident: $type:ty = $default:expr;
            )*
        }
        $($(#[doc = $extra_doc:literal])+ $visibility:vis $extra:ident: $extra_type:ty;)*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        $struct_visibility struct $name {
            $(
                #[doc = $doc]
                #[serde(skip_serializing_if = "SettingType::is_unset")]
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
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];
            const DOCS: &'static [&'static str] = &[$($doc),*];
            const EXAMPLE: &'static str = $example;

            fn set(&mut self, key: &str, value: &TomlValue<'_>, reader: &mut TomlReader<'_>) {
                match key {
                    $(stringify!($key) => {
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
                    format!("{prefix}{}", stringify!($key)),
                    $doc,
                    rows,
                );)*
            }
        }
    };
}

pub(super) use table;
