//! What a lock command is about.

use std::ops::Deref;
use std::slice;
use std::sync::Arc;

use crate::lock::Resource;

/// The locks that a command names, none of them twice. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resources {
    /// It names none.
    None,
    /// One.
    One(Resource),
    /// Several.
    Several(Arc<[Resource]>),
}

impl Deref for Resources {
    type Target = [Resource];

    fn deref(&self) -> &[Resource] {
        match self {
            Self::None => &[],
            Self::One(resource) => slice::from_ref(resource),
            Self::Several(resources) => resources,
        }
    }
}
