//! Plans of hot queries.
