//! Zones in memory: owner names and their RRsets, look-up, and the choice of records.

pub mod declared;
pub mod directory;
pub mod lookup;
pub mod occlusion;
pub mod policy;
pub mod rrset;
pub mod table;
pub mod zones;
