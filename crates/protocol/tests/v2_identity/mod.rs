//! Version 2: starts of an endpoint and its links to the control plane.

mod control_plane;
mod parsers;
mod restarts;
mod thefts;
mod vectors;
