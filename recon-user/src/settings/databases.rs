//! The databases that `[enrich]` names.
//!
//! In: paths. Out: [`Databases`], or all errors in them.
//! The decision held here: a file that both settings name is read once, and both errors of it are
//! reported.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Refused, Settings};
use crate::enrich::{Content, Database, DatabaseError, Databases};

impl Settings {
    /// The files of databases.
    pub(crate) fn database_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.enrich.asn.iter().chain(&self.enrich.country)
    }

    /// Reads the databases that the settings name.
    pub(super) fn read_databases(&self) -> Result<Databases, Refused> {
        let mut errors = String::new();
        let mut read: Vec<Arc<Database>> = Vec::new();
        let mut open_if_set = |path: Option<&PathBuf>, content| {
            let path = path?;
            match open(path, content, &mut read) {
                Ok(database) => Some(database),
                Err(error) => {
                    errors.push_str(&Refused::file(path, &error).0);
                    None
                }
            }
        };
        let databases = Databases {
            asn: open_if_set(self.enrich.asn.as_ref(), Content::Asn),
            country: open_if_set(self.enrich.country.as_ref(), Content::Country),
        };
        match errors.is_empty() {
            true => Ok(databases),
            false => Err(Refused(errors)),
        }
    }
}

/// The database of a path, which may be among those that were `read` before.
fn open(
    path: &PathBuf,
    content: Content,
    read: &mut Vec<Arc<Database>>,
) -> Result<Arc<Database>, DatabaseError> {
    let known = read.iter().find(|database| database.path() == path);
    let database = match known {
        Some(database) => Arc::clone(database),
        None => Arc::new(Database::read(path)?),
    };
    read.push(Arc::clone(&database));
    database.check_content(content)?;
    Ok(database)
}
