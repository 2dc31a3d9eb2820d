//! Room in the making.
