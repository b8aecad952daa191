//! Zones in memory: owner names and their RRsets, look-up, and the choice of records.

pub mod declared;
pub mod directory;
pub mod lookup;
pub mod name_index;
pub mod occlusion;
pub mod policy;
pub mod rrset;
pub mod table;
pub mod wildcard_query;
pub mod zones;
