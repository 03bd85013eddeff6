//! Configuration: as written (`file`), and as checked.
