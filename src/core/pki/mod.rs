//! Making certificates: the own CA of demos, first networks, tests and provisioning.
