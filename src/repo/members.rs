//! Makers whom the charter named only after this client had opened the repository.
//!
//! Whoever signs something was named before: the statement was put first, and so is visible to a listing that starts after
//! the signed object was seen. Without a second look at the charter, a prune by a machine that is new today would be taken for
//! junk by a backup that began yesterday.

use super::Repository;
use super::charter::Charter;
use crate::error::{Error, Result};
use crate::format::ObjectError;
use crate::keys::keyring::Keyring;
use crate::progress::{Context, Silent};
use crate::store::ObjectName;

impl Repository {
    /// Decodes an object, and once more after a look at the charter when its maker is not known yet.
    ///
    /// # Errors
    /// [`Error::NewGeneration`] when an owner has named a generation whose keys this client does not hold: that is no junk,
    /// and must not be passed over.
    pub(crate) fn decode<T>(
        &self,
        object: ObjectName,
        cx: &Context<'_>,
        decode: impl Fn(&Keyring) -> std::result::Result<T, ObjectError>,
    ) -> Result<T> {
        let decoded = match decode(&self.keyring) {
            Err(ObjectError::UnknownPrincipal(maker)) if !self.keyring.is_stranger(&maker) => {
                self.read_charter(cx)?.name_principals(&self.keyring, &Context { progress: &Silent, ..*cx });
                if self.keyring.principal(&maker).is_none() {
                    self.keyring.note_stranger(maker);
                }
                decode(&self.keyring)
            }
            Err(ObjectError::UnknownGeneration(generation)) if self.read_charter(cx)?.names_generation(generation) => {
                return Err(Error::NewGeneration { object, generation });
            }
            decoded => decoded,
        };
        decoded.map_err(|source| Error::Object { object, source })
    }

    /// The charter as it is now. What is wrong with it was reported when the repository was opened.
    pub(super) fn read_charter(&self, cx: &Context<'_>) -> Result<Charter> {
        Charter::read(&self.objects, &self.config, &self.id(), &Context { progress: &Silent, ..*cx })
    }
}
