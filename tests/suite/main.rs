//! Every test that talks to servers or runs the simulation, in one binary: one link step, one set of shared servers.

mod simulation;
