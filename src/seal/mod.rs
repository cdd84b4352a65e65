//! Plain bytes to sealed bytes and back.
//!
//! Four parts, each like the specification it cites: [`compress`] (zstd or nothing), [`aead`] (records of a pack), [`hpke`]
//! (the key of a pack) and [`record`] (small objects that are sealed whole). What the bytes mean is left to
//! [`crate::format`], where keys come from to [`crate::keys`].
//!
//! Nothing here touches a file, a network or a clock. Randomness is drawn from [`crate::env`] alone, and only by the
//! functions that make something new: [`hpke::encapsulate`] and [`record::seal`].

pub mod aead;
pub mod compress;
pub mod hpke;
pub mod record;
